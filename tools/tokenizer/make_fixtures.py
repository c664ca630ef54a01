"""Writes fixtures/tokenizer/*.json: ids that reference tokenizers give, for packages/models/test/tokenizer.

    python tools/tokenizer/make_fixtures.py --a1111 PATH/stable-diffusion-webui/modules/sd_hijack_clip.py

Made with Python 3.11, transformers 5.23.0, tokenizers 0.23.3, torch 2.15.0 and AUTOMATIC1111 stable-diffusion-webui v1.9.4
(`FrozenCLIPEmbedderWithCustomWordsBase.tokenize_line` and `process_tokens`). Texts are drawn with a fixed seed.
"""

import argparse
import importlib.util
import json
import random
import sys
import types
import unicodedata
from pathlib import Path

import torch
from transformers import CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "fixtures" / "tokenizer"
CLIP = ROOT / "fixtures" / "goldens" / "tiny-sd" / "tokenizer"
NANO = ROOT / "packages" / "nano" / "model" / "tokenizer"

HAND = [
    "", " ", "\n\t ", "a", "A", "cat", "a photo of a cat", "a drawing of a police officer, outline style",
    "it's", "IT'S", "they're we've I'm you'll he'd", "rock'n'roll", "'s", "''s", "don''t", "o'clock", "'tis 'twas", "dog's's",
    "can\u2019t won\u2019t", "\u201cquoted\u201d \u2018single\u2019", "1girl, solo, long_hair, looking_at_viewer",
    "masterpiece, best quality, (ultra-detailed:1.2), [lowres], {curly}", "8k uhd", "3.14159", "2026-01-01T00:00:00Z",
    "50mm f/1.8 ISO100", "100%", "$5 \u20ac5 \u00a35 \u00a55", "C++ & C# @ home #tag", "a_b-c.d,e;f:g", "...", "!!!???", "--", "\u2014\u2013",
    "<b>", "<html lang='en'>", "</w>", "cat</w>", "a </w> b", "&amp; &lt;", "\\(escaped\\)", "[filewords] [name]", "https://example.org/a?b=c&d=e#f",
    "user@example.org", "caf\u00e9", "cafe\u0301", "na\u00efve fa\u00e7ade", "\u00c5ngstr\u00f6m A\u030angstro\u0308m", "\u1e9e STRASSE stra\u00dfe", "\u0130stanbul \u0131",
    "\u039f\u0394\u039f\u03a3 \u03a3", "\u03c3\u03c2", "\u01c4 \u01c5 \u01c6", "\ufb01ne \ufb02at", "\u212b \u2126 \u212a", "\u0130", "\ua64a\u1c88",
    "\u5c11\u5e74", "\u5bff\u53f8\u3068\u5bcc\u58eb\u5c71", "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c", "\uff76\uff9e \u30ac", "\uff21\uff22\uff23\uff11\uff12\uff13", "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645", "\u05e9\u05dc\u05d5\u05dd", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e44\u0e17\u0e22", "\u10d0\u10d1\u10d2 \u1c90\u1c91", "\u13a0\u13a1 \uab70", "\u1200\u1201",
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "cat\U0001f431cat", "\U0001f431\U0001f436 \U0001f98a", "#\ufe0f\u20e3 1\ufe0f\u20e3",
    "\u00b2\u00b3\u00b9 \u00bd \u2167 \u2460 \u0663", "x\u00b2+y\u00b2", "H\u2082O", "\u2120\u2122\u00ae\u00a9", "\u03c0\u2248\u221e\u2211", "\u00b0C \u2109", "\u2581\u2582 \u2588", "\u250c\u2500\u2510",
    "a\u00a0b", "a\u2003b\u2009c\u3000d", "a\u200bb", "a\u200db", "\ufeffa!\ufeff!", "a\u2028b\u2029c", "a\u0085b", "a\u00adb", "a\u202eb", "a\rb\r\nc",
    "a\x00b", "\x01\x02", "a\x1b[31mb", "\x7f", "\x80\x9f", "\ufffd", "\U0001d4d0\U0001d4d1", "\U00020000\U0002a6df", "\ue000\uf8ff", "\U000f0000",
    "<|startoftext|>", "a<|endoftext|>b", "<|endoftext|>!", "!<|endoftext|> <|endoftext|>", "<|start|>", "< |endoftext| >", "<|endoftext", "|endoftext|>",
    "x" * 500, "ab" * 300, "\u6771" * 120, "\U0001f600" * 60, "a, " * 200, "1" * 100, "!" * 100, " " * 300 + "a", "word " * 80,
    "pneumonoultramicroscopicsilicovolcanoconiosis", "antidisestablishmentarianism supercalifragilisticexpialidocious",
]  # fmt: skip

WORDS = (
    "photo painting drawing of a the boy girl cat dog police officer astronaut riding horse red apple house, tree; sunset. city! neon? "
    "soft flat blob shiny fluent outline style by in on with highly detailed (masterpiece) [blurry] 4k 35mm don't it's we'll "
    "caf\u00e9 \u00fcber \u6771\u4eac \u043c\u0438\u0440 \U0001f600 \u2764\ufe0f 12 7 3.5 _ - / 'n' <lora:x:1> UPPER MiXeD"
).split(" ")


def assigned(draw: random.Random) -> str:
    while True:
        char = chr(draw.choice([draw.randrange(0x20, 0x2000), draw.randrange(0x2000, 0x10000), draw.randrange(0x10000, 0x20000)]))
        # Scripts younger than Unicode 13 are left out: whether they are letters depends on the age of the regular-expression engine.
        if unicodedata.category(char) not in ("Cn", "Cs") and unicodedata.ucd_3_2_0.category(char) != "Cn":
            return char


def texts(seed: int) -> list[str]:
    draw = random.Random(seed)
    mixed = ["".join(draw.choice(WORDS) + draw.choice([" ", " ", " ", ", ", "", "  "]) for _ in range(draw.randint(1, 14))) for _ in range(60)]
    long = [" ".join(draw.choice(WORDS) for _ in range(draw.randint(70, 160))) for _ in range(8)]
    wild = ["".join(assigned(draw) for _ in range(draw.randint(1, 12))) for _ in range(60)]
    bytes_like = ["".join(chr(draw.randrange(256)) for _ in range(draw.randint(1, 16))) for _ in range(20)]
    return HAND + mixed + long + wild + bytes_like


def encode(tokenizer: CLIPTokenizer, each: list[str]) -> list[list]:
    return [[text, tokenizer(text).input_ids[1:-1]] for text in each]


PLACEHOLDERS = [["<my-cup>", 1], ["<Boy>", 3], ["sks-style", 2], ["ti_a1111", 4], ["my cat", 1], ["\u00e9l\u00e8ve", 1], ["<my-cup>s", 1], ["zx1", 1]]
AROUND = [
    "{}", "a photo of {}", "{} in space", "a {}, b", "a{}b", "{}{}", "({})", "\"{}\"", "{}'s hat", "{}.", "{}s", "x{}", "{}1", "1{}", "-{}-", "  {}  ", "{}\n{}", "\u00e9{}\u00e9",
    "\u6771{}\u4eac", "\U0001f600{}\U0001f600", "{}, {} and {}", "a<|endoftext|>{}", "{}_1", "{}_2", "{}_9", "{} {}_1", "<{}>",
]  # fmt: skip


def placeholders() -> dict:
    tokenizer = CLIPTokenizer.from_pretrained(CLIP)
    for token, vectors in PLACEHOLDERS:
        names = [token] + [f"{token}_{i}" for i in range(1, vectors)]
        assert tokenizer.add_tokens(names) == vectors, token
    first = {tokenizer.convert_tokens_to_ids(token): vectors for token, vectors in PLACEHOLDERS}

    def expanded(text: str) -> list[int]:
        # transformers gives the first vector's id; the others follow it, as diffusers' maybe_convert_prompt puts them.
        ids = tokenizer(text).input_ids[1:-1]
        return [each for id in ids for each in range(id, id + first.get(id, 1))]

    cases = []
    for token, _ in PLACEHOLDERS:
        for around in AROUND:
            for form in (token, token.upper()):
                text = around.replace("{}", form)
                cases.append([text, expanded(text)])
    cases += [[t, expanded(t)] for t in ("desks-style zx12", "my  cat my\ncat MY CAT mycat", "e\u0301le\u0300ve", "<my-cup<my-cup>", "<my-cup>S", "<boy>ti_a1111<my-cup>")]
    draw = random.Random(3)
    cases = sorted(draw.sample(cases, 150))
    return {"placeholders": [[token, vectors] for token, vectors in PLACEHOLDERS], "cases": cases}


def a1111(path: str):
    """`FrozenCLIPEmbedderWithCustomWordsBase` of the file, cut loose from the rest of the program."""
    for name in ("modules", "modules.prompt_parser", "modules.devices", "modules.sd_hijack", "modules.sd_emphasis", "modules.shared"):
        sys.modules[name] = types.ModuleType(name)
    for name in ("prompt_parser", "devices", "sd_hijack", "sd_emphasis", "shared"):
        setattr(sys.modules["modules"], name, sys.modules[f"modules.{name}"])
    sys.modules["modules.sd_hijack"].StableDiffusionModelHijack = object
    sys.modules["modules.devices"].device = "cpu"
    sys.modules["modules.shared"].opts = types.SimpleNamespace(emphasis="None", comma_padding_backtrack=20)
    spec = importlib.util.spec_from_file_location("modules.sd_hijack_clip", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Captured(Exception):
    pass


def chunks(path: str) -> dict:
    module = a1111(path)
    tokenizer = CLIPTokenizer.from_pretrained(CLIP)
    base = len(tokenizer)
    embeddings = []
    for token, vectors in (("<my-cup>", 3), ("<boy>", 40)):
        ids = tokenizer(token, add_special_tokens=False).input_ids
        embeddings.append(types.SimpleNamespace(name=token, ids=ids, vectors=vectors, first=base + sum(e.vectors for e in embeddings)))

    def find(tokens, offset):
        for each in embeddings:
            if tokens[offset : offset + len(each.ids)] == each.ids:
                return each, len(each.ids)
        return None, None

    clip = module.FrozenCLIPEmbedderWithCustomWordsBase.__new__(module.FrozenCLIPEmbedderWithCustomWordsBase)
    torch.nn.Module.__init__(clip)
    clip.hijack = types.SimpleNamespace(embedding_db=types.SimpleNamespace(find_embedding_at_position=find))
    clip.chunk_length = 75
    clip.comma_token = tokenizer.get_vocab()[",</w>"]
    clip.id_start, clip.id_end = tokenizer.bos_token_id, tokenizer.eos_token_id
    clip.tokenize = lambda each: tokenizer(each, truncation=False, add_special_tokens=False)["input_ids"]

    def capture(tokens):
        raise Captured(tokens)

    clip.encode_with_transformers = capture

    def run(text: str, backtrack: int, pad: int) -> list[list[int]]:
        module.opts.comma_padding_backtrack = backtrack
        clip.id_pad = pad
        result = []
        for chunk in clip.tokenize_line(text)[0]:
            try:
                clip.process_tokens([chunk.tokens], [chunk.multipliers])
            except Captured as captured:
                ids = captured.args[0][0].tolist()
            for fix in chunk.fixes:
                e = fix.embedding
                ids[fix.offset + 1 : fix.offset + 1 + e.vectors] = range(e.first, e.first + e.vectors)
            result.append(ids)
        return result

    draw = random.Random(5)
    words = "cat dog tree house sunset city neon photo of the".split(" ")
    plain = lambda n, commas: " ".join(draw.choice(words) + ("," if draw.random() < commas else "") for _ in range(n))
    lines = ["", ",", "cat", plain(75, 0), plain(76, 0), plain(200, 0), "cat, " * 37 + "cat", "cat, " * 38, "cat, " * 80, plain(70, 0) + ", " + plain(30, 0)]
    lines += [" ".join(["cat"] * n) + ", " + " ".join(["dog"] * 40) for n in (53, 54, 55, 56, 73, 74, 75)]
    lines += [plain(draw.randint(60, 180), draw.choice([0.02, 0.05, 0.2])) for _ in range(10)]
    lines += ["a <my-cup>", " ".join(["cat"] * 73) + " <my-cup> dog", " ".join(["cat"] * 72) + " <my-cup> dog", "<boy> and <boy>", "<boy> , <boy> , cat", "cat <|endoftext|> dog"]
    settings = [(20, clip.id_end), (20, 0), (0, clip.id_end), (5, clip.id_end)]
    cases = []
    for index, line in enumerate(lines):
        for backtrack, pad in settings if index % 3 == 0 else settings[:1]:
            found = [trimmed(chunk) for chunk in run(line, backtrack, pad)]
            cases.append([index, backtrack, pad, found])
    return {"placeholders": [[e.name, e.vectors] for e in embeddings], "texts": lines, "cases": cases}


def trimmed(chunk: list[int]) -> list:
    """The chunk without the repetitions of its last id."""
    assert len(chunk) == 77
    ids = list(chunk)
    while len(ids) > 1 and ids[-1] == ids[-2]:
        ids.pop()
    return ids


def write(name: str, what: str, content: dict) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / name
    path.write_text(json.dumps({"what": what, **content}, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(path.relative_to(ROOT), path.stat().st_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--a1111", required=True, help="modules/sd_hijack_clip.py of AUTOMATIC1111 stable-diffusion-webui")
    args = parser.parse_args()
    source = "CLIPTokenizer of transformers 5.23.0; cases are [text, ids without start and end]"
    write("clip.json", source, {"cases": encode(CLIPTokenizer.from_pretrained(CLIP), texts(1))})
    write("nano.json", source, {"cases": encode(CLIPTokenizer.from_pretrained(NANO), texts(2)[:220])})
    write("placeholders.json", source + "; placeholders [token, vectors] were added by add_tokens", placeholders())
    write("chunks.json", "A1111 v1.9.4 tokenize_line and process_tokens; cases are [text, comma backtrack, pad id, chunks], the repeated last id of a chunk is written once", chunks(args.a1111))


main()
