"""The unmodified OpenAI client: a whole answer, then a streamed one."""
import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["BTVEP_URL"] + "/v1", api_key=os.environ["BTVEP_KEY"])
question = [{"role": "user", "content": "What does a validator do?"}]

answer = client.chat.completions.create(model="devnet", messages=question)
print(answer.choices[0].message.content)
print("answered by uid", answer.validator["uid"], "for", answer.validator["credits_charged"], "credits")

for chunk in client.chat.completions.create(model="devnet", messages=question, stream=True):
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
