"""Each format is read as its publisher writes it, and hostile feeds do no harm."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statlas.app.digest.feeds import READERS, files_of, format_of, read_feed
from statlas.app.digest.records import (
    BadRecord,
    Item,
    Problem,
    Record,
    iso_date,
    make_record,
    plain_text,
    web_address,
)
from statlas.core.errors import InputError

ARXIV_JSON = {
    "id": "0704.0001",
    "authors": "C. Bal\\'azs, E. L. Berger",
    "title": "Calculation of prompt diphoton production\n  cross sections",
    "doi": "10.1103/PhysRevD.76.013009",
    "categories": "hep-ph hep-ex",
    "abstract": "  A fully differential calculation.\n",
    "versions": [{"version": "v1", "created": "Mon, 2 Apr 2007 19:18:42 GMT"}],
    "update_date": "2008-11-26",
    "authors_parsed": [["Balázs", "C.", ""], ["Berger", "E. L.", "Jr"]],
}
ATOM = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom">
 <title>arXiv Query</title><id>http://arxiv.org/api/x</id><updated>2024-01-02T00:00:00Z</updated>
 <entry>
  <id>http://arxiv.org/abs/2411.00640v1</id><updated>2024-11-02T00:00:00Z</updated>
  <published>2024-11-01T14:57:16Z</published><title>Adding Error Bars to Evals</title>
  <summary>Evaluations are critical.</summary><author><name>Evan Miller</name></author>
  <arxiv:doi>10.1000/xyz</arxiv:doi>
  <link href="http://arxiv.org/abs/2411.00640v1" rel="alternate" type="text/html"/>
  <category term="stat.AP" scheme="http://arxiv.org/schemas/atom"/>
 </entry>
</feed>"""
RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>A blog</title>
<link>https://example.org</link><description>d</description>
<item><title>On &lt;b&gt;means&lt;/b&gt;</title><link>https://example.org/means</link>
<pubDate>Tue, 10 Jun 2003 04:00:00 GMT</pubDate>
<description>&lt;p&gt;Text&lt;script&gt;alert(1)&lt;/script&gt;&lt;/p&gt;</description></item>
<item><link>https://example.org/none</link><description></description></item></channel></rss>"""
OAI = """<?xml version="1.0"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><ListRecords>
<record><header><identifier>oai:arXiv.org:0704.0004</identifier></header><metadata>
 <arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>0704.0004</id><created>2007-03-30</created>
 <authors><author><keyname>Callan</keyname><forenames>David</forenames></author></authors>
 <title>A determinant of Stirling cycle numbers</title><categories>math.CO</categories>
 <abstract>We show that a determinant.</abstract></arXiv></metadata></record>
<record><header status="deleted"><identifier>oai:arXiv.org:1</identifier></header></record>
<record><header><identifier>oai:x.org:7</identifier></header><metadata>
 <oai_dc:dc xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/"
  xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>On cores</dc:title>
  <dc:creator>Ada</dc:creator><dc:date>2020-01-05</dc:date><dc:subject>Sets</dc:subject>
  <dc:identifier>https://x.org/7</dc:identifier></oai_dc:dc></metadata></record>
</ListRecords></OAI-PMH>"""
HUB = [
    {
        "paper": {
            "id": "2401.00001",
            "title": "A paper of the day",
            "summary": "What it says.",
            "authors": [{"name": "Ada"}, {"name": "Bo"}],
            "publishedAt": "2024-01-01T00:00:00.000Z",
            "upvotes": 42,
            "githubStars": 7,
        },
        "numComments": 3,
    }
]
BIBTEX = r"""@article{miller,
  title = {Adding {E}rror Bars to Sch\"urholt's Evals}, author = {Miller, Evan and Ada Lovelace},
  year = {2024}, eprint = {2411.00640}, archivePrefix = {arXiv}, abstract = {Text.},
  keywords = {evals, statistics}}
@article{broken, title = {No end
@book{other, title = {A book}, doi = {10.1000/B}, author = {Bo}, year = 1999}
"""
BIBTEX_OF_PEOPLE = (
    r"""
@article{a, title={{G}{\"o}del's 50% $\alpha$ bound}, author={A}, howpublished={\url{https://x.org/a\_b}}}
@book{b, title={Unentscheidbare S{\"a}tze}, author={G{\"o}del, Kurt and Borel, {\'E}mile},
  year=1931}
@article{c, title={Error bars}, journal={arXiv preprint arXiv:2411.00640}, year=2024}
@misc{d, title={Notes}}
"""
    + "@misc{e, title={"
    + "\\emph{" * 5_000
    + "}" * 5_000
    + "}, url={https://x.org/e}}"
)
RIS = """TY  - JOUR
TI  - A journal paper
AU  - Lovelace, Ada
PY  - 2021/03/04
AB  - What it says.
KW  - numbers
DO  - 10.1000/ris
ER  -
"""
CSV = "Title,Authors,Date,URL,Votes\nOne,Ada; Bo,2020-02-03,https://x.org/1,5\n,Nobody,,,\n"


def items(tmp_path: Path, name: str, content: str | bytes) -> list[Item]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with read_feed(path) as (_, found):
        return list(found)


def only(found: list[Item]) -> Record:
    (record,) = (item for item in found if isinstance(item, Record))
    return record


def test_arxiv_json_lines(tmp_path: Path) -> None:
    record = only(items(tmp_path, "a.json", json.dumps(ARXIV_JSON) + "\n\n"))
    assert record.title == "Calculation of prompt diphoton production cross sections"
    assert record.keys[:2] == ("arxiv:0704.0001", "doi:10.1103/physrevd.76.013009")
    assert record.authors == ("C. Balázs", "E. L. Berger Jr")
    assert record.categories == ("hep-ph", "hep-ex")
    assert (record.published, record.updated) == ("2007-04-02", "2008-11-26")
    assert record.origin == "arxiv"


def test_atom_of_arxiv(tmp_path: Path) -> None:
    record = only(items(tmp_path, "feed.xml", ATOM))
    assert record.title == "Adding Error Bars to Evals"
    assert record.keys[0] == "arxiv:2411.00640"
    assert record.url == "https://arxiv.org/abs/2411.00640"
    assert record.categories == ("stat.AP",)
    assert (record.published, record.origin) == ("2024-11-01", "arxiv")


def test_rss_of_any_site(tmp_path: Path) -> None:
    found = items(tmp_path, "feed", RSS)
    record = only(found)
    assert (record.title, record.abstract) == ("On means", "Text")
    assert record.published == "2003-06-10"
    assert [item.message for item in found if isinstance(item, Problem)] == ["it has no title"]


def test_oai_in_both_forms(tmp_path: Path) -> None:
    first, second = items(tmp_path, "oai.xml", OAI)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.title, first.authors) == (
        "A determinant of Stirling cycle numbers", ("David Callan",),
    )  # fmt: skip
    assert (second.title, second.keys[0]) == ("On cores", "url:https://x.org/7")


def test_daily_papers_of_a_hub(tmp_path: Path) -> None:
    record = only(items(tmp_path, "daily.json", json.dumps(HUB)))
    assert record.authors == ("Ada", "Bo")
    assert dict(record.signals) == {"votes": 42.0, "comments": 3.0, "stars": 7.0}


def test_bibtex_with_a_broken_entry(tmp_path: Path) -> None:
    found = items(tmp_path, "library.bib", BIBTEX)
    records = [item for item in found if isinstance(item, Record)]
    assert records[0].title == "Adding Error Bars to Schürholt's Evals"
    assert records[0].authors == ("Evan Miller", "Ada Lovelace")
    assert records[0].keys[0] == "arxiv:2411.00640"
    assert any(isinstance(item, Problem) for item in found)
    assert records[-1].keys[0] == "doi:10.1000/b"


def test_bibtex_as_people_write_it(tmp_path: Path) -> None:
    found = items(tmp_path, "mine.bib", BIBTEX_OF_PEOPLE)
    paper, book, scholar, nameless, deep = found
    assert paper.title == "Gödel's 50% $\\alpha$ bound"
    assert paper.url == "https://x.org/a_b"
    assert book.authors == ("Kurt Gödel", "Émile Borel")
    assert (book.url, book.published) == ("", "1931-01-01")
    assert book.keys[0].startswith("work:")
    assert scholar.keys[0] == "arxiv:2411.00640"
    assert nameless.message.endswith("nor author and year")
    assert "nested too deeply" in deep.message


def test_a_paper_without_number_is_known_by_title_author_and_year(tmp_path: Path) -> None:
    def key(title: str, author: str, year: int) -> str:
        entry = f"@book{{k, title={{{title}}}, author={{{author}}}, year={{{year}}}}}"
        return only(items(tmp_path, "one.bib", entry)).keys[0]

    one = key("On {Cores}", 'G{\\"o}del, Kurt', 1931)
    assert key("on cores", "Kurt Gödel and Someone Else", 1931) == one
    assert len({one, key("On cores", "Kurt Gödel", 1932), key("On cores", "Emil Post", 1931)}) == 3


def test_bibtex_entries_with_the_same_key_are_all_read(tmp_path: Path, capfd) -> None:
    text = """@string{j = "Some Journal"}
    @article{a, title={One}, doi={10.1000/1}}
    @article{a, title={Two}, doi={10.1000/2}, author={Miller, Evan and Ada Lovelace}, journal=j}
    @article{b, title={Three}, doi={10.1000/3}, note={x}, note={y}}
    @book{c, title={Broken @book{d, title={Also}}"""
    found = items(tmp_path, "mine.bib", text)
    records = [item for item in found if isinstance(item, Record)]
    assert [record.title for record in records] == ["One", "Two", "Three"]
    assert records[1].authors == ("Evan Miller", "Ada Lovelace")
    problem = next(item for item in found if isinstance(item, Problem))
    assert "Unexpected" in problem.message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("title", "subtitle", "whole"),
    [
        ("Graph of Graphs", "A Mechanism", "Graph of Graphs: A Mechanism"),
        ("Why?", "An answer", "Why? An answer"),
        ("Cores: a study", "a study", "Cores: a study"),
        ("Cores", "", "Cores"),
    ],
)
def test_a_subtitle_is_part_of_the_title(tmp_path: Path, title, subtitle, whole) -> None:
    entry = f"@book{{k, title={{{title}}}, subtitle={{{subtitle}}}, doi={{10.1000/k}}}}"
    assert only(items(tmp_path, "one.bib", entry)).title == whole


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ("eprint={2411.00640}", "2411.00640"),
        ("eprint={hep-th/9901001}, archivePrefix={arXiv}", "hep-th/9901001"),
        ("eprint={2411.00640}, eprinttype={hdl}", ""),
        ("note={Version 2312.12345 of the code; arXiv:2411.00640}", "2411.00640"),
        ("journal={ArXiv}, eprint={2411.00640}", "2411.00640"),
        ("journal={ARXIV}, note={arXiv:math.GT/0309136}", "math.GT/0309136"),
        ("journal={arXiv preprint arXiv:2411.00640}", "2411.00640"),
    ],
)
def test_arxiv_numbers_in_bibtex(tmp_path: Path, fields: str, number: str) -> None:
    entry = f"@misc{{k, title={{A}}, author={{B}}, year=2024, {fields}}}"
    key = only(items(tmp_path, "one.bib", entry)).keys[0]
    assert key == f"arxiv:{number}" if number else key.startswith("work:")


def test_a_server_that_refuses_is_told(tmp_path: Path) -> None:
    answer = (
        '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
        '<error code="badArgument">No such set</error></OAI-PMH>'
    )
    found = items(tmp_path, "oai.xml", answer)
    assert [item.message for item in found] == ["it says badArgument: No such set"]
    assert items(tmp_path, "oai.xml", answer.replace("badArgument", "noRecordsMatch")) == []


def test_ris(tmp_path: Path) -> None:
    record = only(items(tmp_path, "library.ris", RIS))
    assert (record.title, record.authors) == ("A journal paper", ("Ada Lovelace",))
    assert (record.published, record.keys[0]) == ("2021-03-04", "doi:10.1000/ris")


def test_csv_with_names_of_any_case(tmp_path: Path) -> None:
    found = items(tmp_path, "papers.csv", CSV)
    record = only(found)
    assert record.authors == ("Ada", "Bo")
    assert dict(record.signals) == {"votes": 5.0}
    assert isinstance(found[1], Problem)


# Columns of each tool, some of them, and what the first row has there.
TABLES_OF_TOOLS = {
    "zotero": {
        "Key": "MK", "Publication Year": "2021", "Author": "Lovelace, Ada; Gödel, Kurt",
        "Title": "On cores", "DOI": "10.1000/c", "Abstract Note": "What it says.",
        "Date": "3 May or so", "Manual Tags": "set theory; cores",
    },
    "scopus": {
        "Authors": "Lovelace, Ada; Gödel, Kurt", "Author full names": "Lovelace (1); Gödel (2)",
        "Title": "On cores", "Year": "2021", "Cited by": "7", "DOI": "10.1000/c",
        "Abstract": "What it says.", "Author Keywords": "set theory; cores",
    },
    "publish or perish": {
        "Cites": "7", "Authors": "Ada Lovelace, Kurt Gödel", "Title": "On cores", "Year": "2021",
        "ArticleURL": "https://x.org/c", "Abstract": "What it says.", "DOI": "10.1000/c",
    },
}  # fmt: skip


@pytest.mark.parametrize("tool", TABLES_OF_TOOLS)
def test_tables_of_reference_managers(tmp_path: Path, tool: str) -> None:
    path = tmp_path / "export.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream).writerows(zip(*TABLES_OF_TOOLS[tool].items(), strict=True))
    with read_feed(path) as (_, found):
        record = only(list(found))
    assert (record.title, record.abstract) == ("On cores", "What it says.")
    assert record.authors == ("Ada Lovelace", "Kurt Gödel")
    assert record.published == "2021-01-01"
    assert "doi:10.1000/c" in record.keys
    assert record.categories == (() if tool == "publish or perish" else ("set-theory", "cores"))
    assert dict(record.signals) == ({} if tool == "zotero" else {"citations": 7.0})


@pytest.mark.parametrize("separator", ["\t", ";"])
def test_tables_of_other_separators(tmp_path: Path, separator: str) -> None:
    text = f"title{separator}url\nOne{separator}https://x.org/1\n"
    assert only(items(tmp_path, "papers.txt", text)).title == "One"


def test_packed_files(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(ARXIV_JSON).encode())
    assert only(items(tmp_path, "a.jsonl.gz", packed)).keys[0] == "arxiv:0704.0001"


def test_a_folder_gives_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", ".hidden"):
        (tmp_path / name).write_text(CSV)
    assert [path.name for path in files_of(tmp_path)] == ["a.csv", "b.csv"]


# --- hostile feeds -------------------------------------------------------------------------------

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)


@pytest.mark.parametrize("body", [ATOM, RSS, OAI])
def test_entity_bombs_are_refused(tmp_path: Path, body: str) -> None:
    bomb = BOMB + body.partition("?>")[2].replace("A ", "&c; ", 1)
    with pytest.raises(InputError, match="entities"):
        items(tmp_path, "bomb.xml", bomb)


def test_nothing_outside_the_file_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    doctype = f'<!DOCTYPE x [<!ENTITY s SYSTEM "file://{secret}">]>'
    with pytest.raises(InputError, match="entities"):
        items(tmp_path, "x.xml", OAI.replace("<OAI", f"{doctype}<OAI", 1).replace("A det", "&s;"))


def test_a_two_byte_encoding_does_not_hide_entities(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="entities"):
        items(tmp_path, "bomb.xml", (BOMB + ATOM.partition("?>")[2]).encode("utf-16"))


@pytest.mark.parametrize(
    "title",
    [
        "<script>alert(1)</script>Means",
        "<img src=x onerror=alert(1)>Means",
        "Means<svg/onload=alert(1)>",
        "<a href='javascript:alert(1)'>Means</a>",
        "<style>*{display:none}</style>Means",
        "M\u202ee\u200bans",
        "\x1b\x07Means\x00",
    ],
)
def test_scripts_and_control_characters_in_titles_are_gone(title: str) -> None:
    assert plain_text(title) == "Means"


@pytest.mark.parametrize(
    "text", ["if a < b and c > d", "$x<y$ & $y>z$", "P(A|B) <= 0.05", "R&D at AT&T"]
)
def test_formulas_are_left_as_they_are(text: str) -> None:
    assert plain_text(text) == text


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://x.org/a",
        "https://user:pass@x.org/",
        'https://x.org/"onmouseover="alert(1)',
        "https://x.org/a b",
        "//x.org",
        "https://",
        "https://[::1",
    ],
)
def test_only_web_addresses_become_links(address: str) -> None:
    assert web_address(address) == ""


def test_huge_fields_are_refused(tmp_path: Path) -> None:
    lines = [
        json.dumps(ARXIV_JSON | {"title": "x" * 5_000}),
        json.dumps(ARXIV_JSON | {"abstract": "x" * 200_000}),
        json.dumps(ARXIV_JSON | {"authors_parsed": [["A", "B", ""]] * 6_000}),
        json.dumps(ARXIV_JSON | {"categories": " ".join(f"c{n}" for n in range(200))}),
        json.dumps(ARXIV_JSON),
    ]
    found = items(tmp_path, "a.json", "\n".join(lines))
    assert [type(item) for item in found] == [Problem] * 4 + [Record]
    assert "at most 2,000" in found[0].message  # type: ignore[union-attr]


def test_an_endless_line_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as stream:
        stream.write(b'{"id": "0704.0001", "title": "')
        for _ in range(60):
            stream.write(b"x" * 1_000_000)
        stream.write(b'"}\n' + json.dumps(ARXIV_JSON).encode())
    tracemalloc.start()
    with read_feed(path) as (_, found):
        kinds = [type(item) for item in found]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kinds == [Problem, Record]
    assert peak < 30e6


def test_broken_encodings_are_listed_or_replaced(tmp_path: Path) -> None:
    bad = json.dumps(ARXIV_JSON, ensure_ascii=False).encode("latin-1")
    found = items(tmp_path, "a.json", bad + b"\n" + json.dumps(ARXIV_JSON).encode())
    assert [type(item) for item in found] == [Problem, Record]
    table = items(
        tmp_path, "a.csv", CSV.replace("One", "Ca\u0301f\u00e9").encode("latin-1", "replace")
    )
    assert isinstance(table[0], Record)


@pytest.mark.parametrize(
    "line",
    ["[1]", "null", '"text"', "{", "{}", '{"title": 5, "id": "0704.0001"}', '{"title": "x"}',
     '{"title": "x", "id": "0704.0001", "authors": 7}', "[" * 100_000,
     '{"title": "x", "id": "0704.0001", "votes": "many"}',
     '{"title": "x", "id": "0704.0001", "votes": -1}',
     '{"title": "x", "id": "0704.0001", "versions": 3}'],
)  # fmt: skip
def test_lines_of_another_shape_are_problems(tmp_path: Path, line: str) -> None:
    good = json.dumps(ARXIV_JSON)
    found = items(tmp_path, "a.json", f"{good}\n{line}\n{good}")
    assert [type(item) for item in found] == [Record, Problem, Record]


def test_xml_that_breaks_off_gives_what_came_before(tmp_path: Path) -> None:
    found = items(tmp_path, "oai.xml", OAI[: OAI.index("On cores")])
    assert [type(item) for item in found] == [Record, Problem]


@pytest.mark.parametrize("content", ["", "   ", "<html><body>no feed</body></html>", "a letter"])
def test_what_is_no_feed_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError):
        items(tmp_path, "x", content)


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08broken", b"no gzip"])
def test_a_broken_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="unpacked"):
        items(tmp_path, "x.gz", content)


TITLE = "<title type='xhtml'>{}</title>"
ENTRY = "<feed xmlns='http://www.w3.org/2005/Atom'><entry>{}<id>https://x.org/1</id></entry></feed>"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xml", ENTRY.format(TITLE.format("<div>" * 200_000 + "</div>" * 200_000))),
        ("a.xml", ENTRY.format("".join(f"<category term='{n}'/>" for n in range(200_000)))),
        ("a.xml", ENTRY.format("<a " + " ".join(f"a{n}='x'" for n in range(200_000)) + "/>")),
        ("a.ris", "TY  - JOUR\nTI  - A\nAB  - x\n" + "x\n" * 2_000_000),
    ],
)
def test_feeds_that_would_take_hours_are_refused(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(InputError, match=r"at most|in a row"):
        items(tmp_path, name, content)


def test_markup_in_a_text_is_no_trap(tmp_path: Path) -> None:
    text = "<![CDATA[An entity is <!ENTITY a 'b'>, and a break is " + "<br a=b>" * 30_000 + "]]>"
    assert only(items(tmp_path, "a.xml", RSS.replace("&lt;b&gt;means&lt;/b&gt;", text)))


def test_a_late_definition_of_entities_is_seen(tmp_path: Path) -> None:
    bomb = f"<?xml version='1.0'?><!--{'x' * 100_000}-->{BOMB.partition('?>')[2]}{RSS[21:]}"
    with pytest.raises(InputError, match="entities"):
        items(tmp_path, "bomb.xml", bomb)


def test_ris_entries_without_an_end_stay_apart(tmp_path: Path) -> None:
    one, other = RIS.replace("ER  -", ""), RIS.replace("A journal paper", "Another")
    found = items(tmp_path, "a.ris", one + other.replace("ER  -", "").replace("\n", "\r\n"))
    assert [item.title for item in found if isinstance(item, Record)] == [
        "A journal paper", "Another",
    ]  # fmt: skip


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.bib"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="neither file nor folder"):
        files_of(pipe)
    with pytest.raises(InputError, match="no file or folder"):
        files_of(tmp_path / ("a" * 300))
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self.bib").symlink_to(tmp_path / "self.bib")
    (tmp_path / "a.bib").write_text(BIBTEX)
    assert [path.name for path in files_of(tmp_path)] == ["a.bib"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_that_breaks_off_gives_what_came_before(tmp_path: Path, pack) -> None:
    lines = b"".join(b'{"id": "2401.%05d", "title": "%x"}\n' % (n, n**9) for n in range(40_000))
    packed = pack(lines)
    suffix = {gzip.compress: "gz", bz2.compress: "bz2", lzma.compress: "xz"}[pack]
    found = items(tmp_path, f"a.jsonl.{suffix}", packed[: len(packed) * 3 // 4])
    assert len(found) > 1_000
    assert isinstance(found[-1], Problem)
    assert "breaks off" in found[-1].message
    damaged = packed[: len(packed) // 2] + b"\x00" * 999 + packed[len(packed) // 2 + 999 :]
    assert isinstance(items(tmp_path, f"b.jsonl.{suffix}", damaged)[-1], Problem)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400), format=st.sampled_from(sorted(READERS)))
def test_any_bytes_give_items_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, format: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "feed"
    path.write_bytes(content + b"x")
    try:
        with read_feed(path, format) as (_, found):
            assert all(isinstance(item, Record | Problem) for item in found)
    except InputError as error:
        assert len(str(error)) > 20


@given(st.text(max_size=200))
def test_plain_text_is_stable_and_on_one_line(text: str) -> None:
    once = plain_text(text)
    assert "\n" not in once
    assert once == once.strip()
    assert "<script" not in plain_text(once).lower()


@given(st.text(max_size=40))
def test_dates_are_iso_or_nothing(text: str) -> None:
    found = iso_date(text)
    assert found == "" or (len(found) == 10 and iso_date(found) == found)


def test_works_of_earlier_centuries_have_a_year(tmp_path: Path) -> None:
    entry = "@book{k, title={Kritik der reinen Vernunft}, author={Kant, Immanuel}, year={1781}}"
    assert only(items(tmp_path, "one.bib", entry)).published == "1781-01-01"
    assert iso_date("0001-01-01") == ""


def test_a_record_needs_a_name() -> None:
    with pytest.raises(BadRecord, match="name it"):
        make_record(title="A")


def test_formats_are_told_apart() -> None:
    examples = {
        "atom-or-rss": ATOM, "oai": OAI, "daily-papers": json.dumps(HUB), "bibtex": BIBTEX,
        "ris": RIS, "csv": CSV, "arxiv-json": json.dumps(ARXIV_JSON),
    }  # fmt: skip
    assert {format_of(text.encode()) for text in examples.values()} == set(examples)
    assert [format_of(text.encode()) for text in examples.values()] == list(examples)
