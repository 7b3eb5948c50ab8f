"""One answer of each of several miners: costs one price for each that answers."""
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BTVEP_URL"] + "/v1", api_key=os.environ["BTVEP_KEY"])

answer = client.chat.completions.create(
    model="devnet",
    messages=[{"role": "user", "content": "Name a colour."}],
    extra_body={"top_n": 3, "respond_on_first_success": False},
)
for choice in answer.choices:
    print(choice.index, choice.message.content)
