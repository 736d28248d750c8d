"""What Jinja makes of the chat templates in tests/vectors/template/hub, which are our own, each built in a way
that templates of the hub are built.

    python3 tools/make-hub-vectors.py

writes tests/vectors/template/hub/conversations.jsonl and rendered.jsonl. Offline tool, needed only when a template
or a conversation is added. Environment and date as in make-template-vectors.py.
"""
import json
import pathlib

import importlib.util

HERE = pathlib.Path(__file__).resolve().parent
HUB = HERE.parent / "tests/vectors/template/hub"


def environment():
    spec = importlib.util.spec_from_file_location("vectors", HERE / "make-template-vectors.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ENV


def u(text):
    return {"role": "user", "content": text}


def a(text, **more):
    return {"role": "assistant", "content": text, **more}


TOOLS = [{"type": "function", "function": {"name": "rotate", "description": "Turn letters", "parameters": {
    "type": "object", "properties": {"letters": {"type": "string"}, "by": {"type": "integer", "minimum": 1}}, "required": ["letters"]}}}]
CALL = {"id": "abcde1234", "type": "function", "function": {"name": "rotate", "arguments": {"letters": "kdf", "by": 12345678901234567890}}}
RESULT = {"role": "tool", "content": "RESULT7", "tool_call_id": "abcde1234"}
CONVERSATIONS = [
    ("one exchange", {"messages": [u("QUESTION1"), a("ANSWER2")]}),
    ("one exchange", {"messages": [{"role": "system", "content": "SYSTEM0"}, u("QUESTION1"), a("ANSWER2")]}),
    ("one exchange", {"messages": [u("QUESTION1"), a("<think>\nREASON3\n</think>\n\nANSWER2")]}),
    ("one exchange", {"messages": [u("QUESTION1 <b> [x]"), a("ANSWER2 1 < 2 [y] é\n")]}),
    ("three exchanges", {"messages": [u("QUESTION1"), a("ANSWER2"), u("QUESTION4"), a("ANSWER5"), u("QUESTION6"), a("ANSWER8")]}),
    ("three exchanges", {"messages": [{"role": "system", "content": "SYSTEM0"}, u("QUESTION1"), a("ANSWER2"), u("QUESTION4"), a("ANSWER2"), u("QUESTION6"), a("ANSWER2")]}),
    ("three exchanges", {"messages": [u("QUESTION1"), a("<think>\nREASON3\n</think>\n\nANSWER2"), u("QUESTION4"), a("<think>\nREASON9\n</think>\n\nANSWER5"), u("QUESTION6"), a("ANSWER8")]}),
    ("with tool calls", {"messages": [u("QUESTION1"), a("", tool_calls=[CALL]), RESULT, a("ANSWER8")], "tools": TOOLS}),
    ("with tool calls", {"messages": [u("QUESTION1"), a("", tool_calls=[CALL]), RESULT, a("ANSWER8"), u("QUESTION4"), a("ANSWER5")], "tools": TOOLS}),
    ("assistant first", {"messages": [a("GREETING3"), u("QUESTION1"), a("ANSWER2")]}),
    ("assistant first", {"messages": [{"role": "system", "content": "SYSTEM0"}, a("GREETING3"), u("QUESTION1"), a("ANSWER2"), u("QUESTION4"), a("ANSWER5")]}),
]


def main():
    env = environment()
    with open(HUB / "conversations.jsonl", "w") as f:
        for kind, c in CONVERSATIONS:
            f.write(json.dumps({"kind": kind, **c}) + "\n")
    with open(HUB / "rendered.jsonl", "w") as f:
        for path in sorted(HUB.glob("*.jinja")):
            template = env.from_string(path.read_text())
            for i, (_, c) in enumerate(CONVERSATIONS):
                for prompt in (False, True):
                    r = {"template": path.stem, "conversation": i, "prompt": prompt}
                    try:
                        r["rendered"] = template.render(bos_token="<s>", eos_token="</s>", tools=c.get("tools"), documents=None,
                                                        messages=c["messages"], add_generation_prompt=prompt)
                    except Exception as e:
                        r["error"] = type(e).__name__
                    f.write(json.dumps(r) + "\n")


if __name__ == "__main__":
    main()
