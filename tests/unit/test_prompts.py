# SPDX-License-Identifier: Apache-2.0
"""The curated prompts are parallel, each in its own language, and the code runs.

The oracles are not `prompts.py`: counts of common words, Python's and C's own parsers, node, and
the standard library's HTML parser.
"""

import ast
import dataclasses
import operator
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest

from moe_viz.errors import PromptError
from moe_viz.prompts import (
    CODE,
    LABELS,
    LANGUAGES,
    Prompt,
    Prompts,
    code,
    collection,
    curated,
    passages,
)

# Words without which it is hard to write a paragraph, language by language.
COMMON = {
    "en": "the a an of to and in is are was were it its that this for on with as at by from not or "
    "be but been have has had he she they we you i his her their our my which who what when "
    "there if so no all will would can do does your than then into up out over under after "
    "before more",
    "fr": "le la les l un une des de du d et en est sont était il elle ils on nous vous je j ce c "
    "s sa se son ses leur qui que qu ne n pas dans pour sur avec par au aux à plus ou où mais "
    "si tout cette ces être a ont été sans sous puis très comme deux bien fait y quand après "
    "avant même",
    "de": "der die das den dem des ein eine einen einem einer und in ist sind war nicht zu mit von "
    "auf für an als auch es er sie ich wir ihr im am zum zur bei nach aus um wie so dass wenn "
    "aber oder noch nur sich hat haben wird werden man kein keine über unter vor bis durch "
    "seine mehr",
    "es": "el la los las un una de del y en es son era que no se lo le les su sus con por para a "
    "como al más pero si o ya muy sin sobre este esta eso ese nos me mi yo él ella hay ha han "
    "fue ser está están cuando donde porque también hasta desde entre todo todos cada otra "
    "otro después",
    "it": "il lo la i gli le l un uno una di del della dei delle dello nel nella e ed è sono era "
    "che non si con per da dal dalla a al alla ai alle in su sul sulla come più ma se o anche "
    "ci mi ne lui lei io noi suo sua loro questo questa quando dove perché ha hanno ho tutto "
    "ogni poi dopo",
}
WORDS = {language: frozenset(words.split()) for language, words in COMMON.items()}


def language_of(text: str) -> list[str]:
    """The languages whose common words this text uses most: one, unless they tie."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    scores = {label: sum(word in common for word in words) for label, common in WORDS.items()}
    return [label for label in LANGUAGES if scores[label] == max(scores.values())]


def ids(found: Prompts) -> dict:
    return {"argvalues": list(found), "ids": found.names}


# What there is


def test_thirty_passages_or_more_are_parallel_in_five_languages():
    found = passages()
    assert len(found.topics) >= 30
    for topic in found.topics:
        assert found.parallel(topic).labels == list(LANGUAGES)
    assert len(found) == 5 * len(found.topics)


def test_twelve_code_prompts_or_more_are_parallel_in_four_labels():
    found = code()
    assert len(found) >= 12
    for topic in found.topics:
        assert found.parallel(topic).labels == list(CODE)


def test_curated_is_the_passages_then_the_code_read_once():
    assert curated() == passages() + code()
    assert curated() is curated()
    assert curated().topics == sorted(passages().topics) + sorted(code().topics)


def test_no_name_and_no_text_occurs_twice():
    found = curated()
    assert len(set(found.names)) == len(found)
    assert len(set(found.texts)) == len(found)


def test_texts_are_tidy():
    for prompt in curated():
        assert prompt.text == prompt.text.strip(), prompt.name
        assert unicodedata.is_normalized("NFC", prompt.text), prompt.name
        assert not set(prompt.text) & set("\t\r\ufeff\ufffd\u00ad\u200b"), prompt.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", prompt.topic), prompt.name
        assert len(prompt.text) >= 100, prompt.name


@pytest.mark.parametrize("topic", passages().topics)
def test_translations_are_about_as_long_as_each_other(topic):
    lengths = [len(text) for text in passages().parallel(topic).texts]
    assert max(lengths) < 2 * min(lengths)


@pytest.mark.parametrize("prompt", **ids(passages()))
def test_common_words_say_the_language_of_each_passage(prompt):
    assert language_of(prompt.text) == [prompt.label]


# The code is code


@pytest.mark.parametrize("prompt", **ids(code().select("python")))
def test_python_parses_and_runs(prompt):
    ast.parse(prompt.text)
    command = [sys.executable, "-W", "error", "-c", prompt.text]
    assert subprocess.run(command, capture_output=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("prompt", **ids(code().select("c")))
def test_c_compiles_without_a_warning(prompt):
    if not (gcc := shutil.which("gcc")):
        pytest.skip("needs gcc")
    command = [gcc, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"]
    subprocess.run(command, input=prompt.text, text=True, timeout=60, check=True)


@pytest.mark.parametrize("prompt", **ids(code().select("javascript")))
def test_javascript_parses(prompt, tmp_path):
    if not (node := shutil.which("node")):
        pytest.skip("needs node")
    path = tmp_path / "prompt.js"
    path.write_text(prompt.text, encoding="utf-8")
    subprocess.run([node, "--check", path], timeout=60, check=True)


class Tags(HTMLParser):
    VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> on line {self.getpos()[0]}"


@pytest.mark.parametrize("prompt", **ids(code().select("html")))
def test_html_is_a_page_with_balanced_tags(prompt):
    tags = Tags()
    tags.feed(prompt.text)
    tags.close()
    assert tags.open == []
    assert {"html", "head", "meta", "title", "body", "h1"} <= tags.seen


# Prompts


@pytest.fixture
def three():
    return Prompts([Prompt("a", "it", "uno"), Prompt("b", "en", "two"), Prompt("a", "en", "one")])


def test_prompts_are_an_immutable_sequence(three):
    assert issubclass(Prompts, Sequence)
    assert three[0] == Prompt("a", "it", "uno")
    assert isinstance(three[1:], Prompts)
    assert three[1:].texts == ["two", "one"]
    assert Prompt("b", "en", "two") in three
    assert (three + three[:1]).names == ["a/it", "b/en", "a/en", "a/it"]
    assert three == Prompts(list(three))
    assert len({three, Prompts(three)}) == 1
    assert len(repr(curated())) < 80
    with pytest.raises(dataclasses.FrozenInstanceError):
        three._items = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        three[0] = three[1]
    with pytest.raises(TypeError):
        operator.add(three, three.texts)


def test_a_list_taken_from_the_cached_prompts_can_be_changed_without_harm():
    texts = code().texts
    texts.clear()
    assert code().texts


def test_texts_labels_and_names_are_in_step_and_topics_are_unique(three):
    assert three.texts == ["uno", "two", "one"]
    assert three.labels == ["it", "en", "en"]
    assert three.names == ["a/it", "b/en", "a/en"]
    assert three.topics == ["a", "b"]


def test_select_keeps_the_order_and_takes_one_or_many(three):
    assert three.select("en").names == ["b/en", "a/en"]
    assert three.select(topic="a").names == ["a/it", "a/en"]
    assert three.select(label=iter(("en", "it")), topic=["b"]).names == ["b/en"]
    assert three.select("it", topic="b") == Prompts()
    assert three.select([]) == Prompts()
    assert three.select() == three


def test_parallel_follows_the_order_of_the_labels(three):
    assert three.parallel("a").labels == ["en", "it"]
    own = Prompts([Prompt("a", "pt", "um")]) + three
    assert own.parallel("a").labels == ["en", "it", "pt"]


def test_parallel_of_every_curated_topic_is_never_empty():
    for topic in curated().topics:
        labels = curated().parallel(topic).labels
        assert labels == [label for label in LABELS if label in labels]
        assert len(labels) >= 4


@pytest.mark.parametrize(
    ("choice", "found", "expected"),
    [
        ({"label": "pt"}, "'pt'", "en, fr, de, es, it, python, c, javascript, html"),
        ({"label": ["en", "rust", "go"]}, "'rust', 'go'", "javascript"),
        ({"topic": "gdc"}, "'gdc'", "binary_search, bubble_sort, gcd"),
        ({"label": "en", "topic": ""}, "''", "gcd"),
    ],
)
def test_unknown_labels_and_topics_are_refused_with_what_there_is(choice, found, expected):
    with pytest.raises(PromptError) as error:
        curated().select(**choice)
    assert found in str(error.value)
    assert expected in str(error.value)
    assert "Choose" in str(error.value)


def test_unknown_topics_are_refused_by_parallel_and_by_no_prompts_at_all():
    with pytest.raises(PromptError, match="'nowhere'"):
        curated().parallel("nowhere")
    with pytest.raises(PromptError, match="'en'"):
        Prompts().select("en")


# The files of passages

GOOD = "[en]\nOne.\n\nTwo [sic].\n\n[fr]\nUn.\n\n[de]\nEins.\n\n[es]\nUno.\n\n[it]\nUno.\n"


def test_a_passage_keeps_its_paragraphs():
    found = Prompts(collection._sections("numbers", GOOD))
    assert found.labels == list(LANGUAGES)
    assert found[0] == Prompt("numbers", "en", "One.\n\nTwo [sic].")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no section",
        "stray\n" + GOOD,
        GOOD.replace("[de]\nEins.\n", ""),
        GOOD.replace("Eins.", ""),
        GOOD.replace("[de]", "[pt]"),
        GOOD.replace("[de]", "[fr]"),
        GOOD + "\n[en]\nOne again.\n",
        GOOD + "\n[pt]\n",
    ],
)
def test_a_malformed_file_is_refused_by_name(text):
    with pytest.raises(PromptError, match=r"texts/numbers\.txt: expected"):
        collection._sections("numbers", text)


def test_prompts_need_no_third_party_package():
    source = (
        "import sys, moe_viz.prompts as p; p.curated(); print({'numpy', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"
