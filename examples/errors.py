"""Which exceptions to expect. The SDK repeats by itself only what can pass: it obeys `x-should-retry`."""
import os

import openai
from openai import OpenAI

client = OpenAI(base_url=os.environ["BTVEP_URL"] + "/v1", api_key=os.environ["BTVEP_KEY"])
question = [{"role": "user", "content": "hello"}]


def ask(**changes):
    try:
        client.chat.completions.create(**{"model": "devnet", "messages": question, **changes})
    except openai.RateLimitError as error:  # 429: credits, rates; `error.code` tells which
        print("later or never:", error.code)
    except openai.NotFoundError as error:  # 404
        print("no such model:", error.code)
    except openai.BadRequestError as error:  # 400: `error.param` names the field
        print("my mistake:", error.code, error.param)
    except openai.InternalServerError as error:  # 5xx: `error.request_id` is what the operator needs
        print("their trouble:", error.code, error.request_id)


ask(model="nope")
ask(messages=[])
ask(extra_body={"uids": [60000]})
