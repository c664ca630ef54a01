"""Writes fixtures/prompts: how A1111 reads prompts, for packages/models/test/prompts.

    python tools/prompts/make_fixtures.py WEBUI

WEBUI: AUTOMATIC1111/stable-diffusion-webui v1.10.1, 82a973c04367123ae98bd9abdf80d9eda9b910e2 (AGPL 3; nothing of it is kept here).
Made with Python 3.11, torch 2.15.0 (CPU), transformers 5.23.0, safetensors 0.8.0, lark 1.1.2 (the webui's own version). Without network.

What runs as it is: modules/prompt_parser.py, sd_hijack_clip.py, sd_emphasis.py, extra_networks.py. What stands in: see webui.py.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import save_file

import webui

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "fixtures" / "prompts"
BASE = ROOT / "fixtures" / "goldens" / "tiny-sd"

HAND = [
    "", " ", "a cat", "an (important) word", "(unbalanced", "unbalanced)", "\\(literal\\]", "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "((a))", "[a]", "[[a]]", "((a)", "(a))", "[(a)]", "([a])", "(a:1.2)", "(a: 1.2 )", "(a:1.2", "a:1.2)",
    "(a:-1)", "(a:+.5)", "(a:0)", "(a:1.)", "(a:b)", "(a:b:1.2)", "(a:1.2:1.3)", "[a:1.2]", "(a:1e2)", "(a :1.1)b", "()", "[]", "(:1.2)", "(:)", ":", "::", "a:b",
    "\\", "\\\\", "\\\\(a)", "a\\", "\\a", "\\[a\\]", "(a\\)b:1.4)", "(a\\:1.2)", "{a}", "<a:b>", "a | b", "(a|b)",
    "BREAK", "a BREAK b", "aBREAKb", "a BREAK", "BREAK a", "a BREAK BREAK b", "(a BREAK b)", "(a BREAK b:1.2)", "[a BREAK b]", "(BREAK:-1)", "(BREAK)", "a,BREAK,b", "a break b",
    "\u00e9BREAK", "_BREAK", "BREAK\u00e9", "1BREAK", "a\nBREAK\nb", "(a\nb:1.1)", "a (b) BREAK (c:0.5) d", "a (BREAK:1.0) b", "BREAK:", "-BREAK-",
    "masterpiece, best quality, (ultra-detailed:1.2), [lowres], {curly}", "tag_\\(series\\), 1girl, (solo), (long_hair:1.3), ((looking_at_viewer))",
    "a ( b ) c", "( a )", "(a,b:1.1), (c , d:.9)", "a((b)c", "a)b(c", "(((((deep)))))", "(a(b(c:1.1):1.2):1.3)", "(a[b(c:2):3]d)", "(\u6771\u4eac:1.2)\u3001[\u591c]", "\U0001f600(\U0001f431:1.5)",
]  # fmt: skip

SCHEDULES = [
    "test", "a [b:3]", "a [b: 3]", "a [[[b]]:2]", "[(a:2):3]", "a [b : c : 1] d", "a[b:[c:d:2]:1]e", "a [unbalanced", "a [b:.5] c", "a [{b|d{:.5] c", "((a][:b:c [d:3]",
    "[a|(b:1.1)]", "[fe|]male", "[fe|||]male", "a [b:1.5] c", "[a:b:10]", "[a:b:0]", "[a:b:-1]", "[a:b:0.25]", "[a:b:.999]", "[a:b:1.0]", "[a::5]", "[:a:5]", "[::5]", "[:5]", "[5]",
    "[a:b]", "[a]", "(a:b:3)", "(a [b:c:3])", "((a [b:c:3]):1.2)", "[[a|b]:c:4]", "[a|[b:c:5]]", "[a|b|c] and [d|e]", "[a |b]", "[ a | b ]", "a|b", "a [b|c] | d", "\\[a:b:3\\]", "[a\\:b:3]",
    "[a:b:3", "a:b:3]", "[a:b:3]]", "[[a:b:3]", "[a (b:c:3]", "[a:b c:3] [d", "[a:b:3e0]", "[a:b:+4]", "[a:b:4.]", "[a:3:4]", "[1:2:3]", "a\\", "[a:b:3]\\", "[a,b|c,d:1.1]", "[(a:1.1)|(b:1.2)]",
    "[a:b: 3 ]", "[a:b:\n3]", "[a\nb:c:3]", "[a:b:20]", "[a:b:3.7]", "(a:1.2) [b:c:2]", "[[a:b:2]:[c:d:6]:4]", "[a:(b:1.1):3]", "[a:b:c:3]", "()[]", "[|]", "[a||b]", "(|)", "[a:b|c:3]",
]  # fmt: skip

COMPOSED = [
    "a cat", "a cat :1.5", "portrait, 16:9", "a cat: 2", "a:b", "(a:1.2)", "a cat:-1", "a cat :.5 ", "a\nb : 1.25\n", ":2", "", "a cat:", "a cat :1.", "a :1.5:2", "a cat   ", "AND", "LAND", "sAND",
]  # fmt: skip

NETWORKS = [
    "a cat", "<lora:x:0.8>", "a <lora:x:0.8> cat", "<lora:x>", "<lora:x:0.5:0.7>", "<lora:x:te=0.5:unet=0.7>", "<hypernet:y:1.1> and <lora:a b:1>", "<lora:x:1><lora:z:.2>", "<boy>", "<lora:>",
    "<lora:x:1", "<a-b:c>", "<lora:v1.2-x_y:1>", "<lora:x:1>, (b:1.2)", "< lora:x:1>", "<lora: x : 1 >", "<lyco:x:1:1:4>", "<lora:a=b:1>", "<lora:x:dyn=4>", "(<lora:x:1>:1.1)",
]  # fmt: skip

CONDITIONINGS = [
    ["a photo of a cat"],
    ["a (photo:1.3) of a [cat]"],
    ["((masterpiece)), best quality, (a house:0.5) BREAK (red sky:1.4), sea"],
    ["(everything:2.5)"],
    # What "a [(cat:1.3):(dog:0.6):4], [red|blue]" says, without its second half.
    ["a (cat:1.3), red", "a (dog:0.6), red"],
    ["an (important) word", "plain words", "(long:0.7) " + ", ".join(["cat", "(dog:1.2)"] * 30)],
]  # fmt: skip
EMPHASES = ["Original", "No norm", "Ignore", "None"]


def fuzz(seed: int, alphabet: list[str], count: int, most: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choice(alphabet) for _ in range(draw.randint(3, most))) for _ in range(count)]


def attention(parser) -> list:
    cases = []
    for text in HAND + fuzz(1, list("ab ()[]:,\\") + ["1.2", " BREAK ", ":1.5)", "\n"], 60, 14):
        try:
            cases.append([text, parser.parse_prompt_attention(text)])
        except ValueError:
            cases.append([text, None])
    return cases


def agreed_schedules() -> list:
    """Schedules that do not depend on the order of Python's sets: the grammar is ambiguous, and how lark reads a prompt with a bracket too many changes with the hash seed."""
    runs = []
    for seed in range(10):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        runs.append(json.loads(subprocess.run([sys.executable, __file__, sys.argv[1], "schedules"], env=environment, check=True, capture_output=True).stdout))
    agreed = [cases[0] for cases in zip(*runs) if all(case == cases[0] for case in cases)]
    print(len(agreed), "of", len(runs[0]), "prompts are read alike whatever the hash seed")
    return agreed


def schedules(parser) -> list:
    texts = SCHEDULES + fuzz(2, list("ab ()[]::|") + ["3", "0.5", ":4]", "["], 110, 14)
    cases = []
    for index, text in enumerate(texts):
        steps = 7 if index % 3 == 0 else 20
        [found] = parser.get_learned_conditioning_prompt_schedules([text], steps)
        cases.append([text, steps, found])
    return cases


def composed(parser) -> list:
    cases = []
    for text in COMPOSED:
        [indexes], flat, _ = parser.get_multicond_prompt_list(parser.SdConditioning([text]))
        cases.append([text, [[flat[i], weight] for i, weight in indexes]])
    return cases


def networks() -> list:
    from modules import extra_networks

    cases = []
    for text in NETWORKS:
        rest, found = extra_networks.parse_prompt(text)
        cases.append([text, rest, [[name, each.positional, each.named] for name, all in found.items() for each in all]])
    return cases


def chunks(encoder, options) -> list:
    draw = random.Random(3)
    words = "cat dog tree house sunset city neon photo of the".split(" ")

    def mixed(n):
        return " ".join(draw.choice(["{}", "{}", "{}", "({}:1.3)", "[{}]", "{},", "(({})),"]).format(draw.choice(words)) for _ in range(n))

    texts = [text for text in HAND if "(a:1.2:1.3)" != text] + [mixed(draw.randint(60, 170)) for _ in range(10)]
    texts += ["cat " * 70 + "BREAK dog", "(" + "cat, " * 60 + ":1.2)", "cat " * 74 + "(dog)", "cat " * 75 + "BREAK dog", "cat " * 75 + "BREAK", "cat, " * 30 + "(" + "dog " * 30 + ":0.9)"]
    cases = []
    for index, text in enumerate(texts):
        for emphasis in ["Original", "None"] if index % 6 == 0 else ["Original"]:
            options.emphasis = emphasis
            found, _ = encoder.tokenize_line(text)
            cases.append([text, emphasis, [[trimmed(c.tokens), [[i, m] for i, m in enumerate(c.multipliers) if m != 1]] for c in found]])
    return cases


def trimmed(ids: list[int]) -> list[int]:
    """The chunk without the repetitions of its last id."""
    assert len(ids) == 77
    ids = list(ids)
    while len(ids) > 1 and ids[-1] == ids[-2]:
        ids.pop()
    return ids


def conditionings(encoder, options) -> dict:
    """By the index of the texts, clip skip and emphasis: [B, L, C]. How far float64 is away is printed: the rounding that a test must allow."""
    tensors = {}
    worst = 0.0
    for skip in (1, 2):
        options.CLIP_stop_at_last_layers = skip
        for emphasis in EMPHASES:
            options.emphasis = emphasis
            for index, texts in enumerate(CONDITIONINGS):
                if emphasis in ("Ignore", "None") and (skip == 2 or index > 3):
                    continue
                single = encoder(texts).detach()
                encoder.wrapped.transformer.double()
                double = encoder(texts).detach()
                encoder.wrapped.transformer.float()
                worst = max(worst, (single - double).abs().max().item())
                tensors[f"{index}.skip{skip}.{emphasis.lower().replace(' ', '-')}"] = single.contiguous()
    print("largest difference between float32 and float64:", worst)
    return tensors


def write(name: str, content: dict) -> None:
    path = OUT / name
    path.write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(path.relative_to(ROOT), path.stat().st_size)


def main() -> None:
    options = webui.start(Path(sys.argv[1]))
    from modules import prompt_parser

    if sys.argv[2:] == ["schedules"]:
        json.dump(schedules(prompt_parser), sys.stdout)
        return
    encoder = webui.text_encoder(BASE)
    OUT.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    write(
        "parse.json",
        {
            "what": "A1111 v1.10.1. attention: [text, [[part, weight], ...]], null where it fails; schedules: [text, steps, [[last step, text], ...]]; composed: [text, [[part, weight], ...]]; "
            "networks: [text, rest, [[name, positional, named], ...]]",
            "attention": attention(prompt_parser),
            "schedules": agreed_schedules(),
            "composed": composed(prompt_parser),
            "networks": networks(),
        },
    )
    write(
        "chunks.json",
        {
            "what": "A1111 v1.10.1 tokenize_line: [text, emphasis, [[ids, [[place, multiplier other than 1], ...]], ...]], the repeated last id of a chunk written once; texts of conditionings.safetensors",
            "cases": chunks(encoder, options),
            "conditionings": CONDITIONINGS,
        },
    )
    path = OUT / "conditionings.safetensors"
    save_file(conditionings(encoder, options), path)
    print(path.relative_to(ROOT), path.stat().st_size)


main()
