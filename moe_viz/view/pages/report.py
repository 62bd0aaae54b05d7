# SPDX-License-Identifier: Apache-2.0
"""The page of a report: sections in the order of the paper, published numbers marked as such.

In: a `Survey`. Out: the body of an offline page. What is drawn, and beside what, is decided here;
how it is drawn, in `figures`.
"""

from __future__ import annotations

from html import escape

import numpy as np

from ...analysis import published
from ...analysis.repetition import WHAT
from ...analysis.survey import Survey
from ...trace import Trace, TraceDataset
from ..charts.chart import plotly_script
from ..charts.figures import chart
from ..explorer.explorer import opened


def report_body(survey: Survey) -> str:
    """The sections of the page, plotly's script once before them."""
    trace, parts, links = survey.trace, [], []
    for title, text, names in _SECTIONS:
        inside = "".join(_shown(survey, name) for name in names)
        if inside:
            anchor = title.lower().replace(" ", "-")
            links.append(f'<li><a href="#{anchor}">{escape(title)}</a></li>')
            parts.append(f'<h2 id="{anchor}">{escape(title)}</h2>\n<p>{text}</p>\n{inside}')
    nav = f'<nav aria-label="Sections"><ul>{"".join(links)}</ul></nav>'
    parts = [plotly_script(), _head(survey), nav, *parts]
    if survey.left_out:
        items = "".join(
            f"<li>{escape(name)}: {escape(why)}</li>" for name, why in survey.left_out.items()
        )
        parts.append(f"<h2>Left out</h2>\n<ul>{items}</ul>")
    parts.append(
        f"<h2>How this was made</h2><p>moe_viz; recorded {escape(trace.provenance.date)}, "
        f"{escape(trace.provenance.title)}; checkpoint "
        f"{escape(trace.provenance.fingerprint[:12])}. "
        "Intervals are 95 % bootstraps over documents; p-values are permutations over documents, "
        "corrected over layers. report.json and the Parquet files hold every number.</p>"
    )
    return "\n".join(parts)


def _head(survey: Survey) -> str:
    trace = survey.trace
    docs = survey.documents
    _, _, k = docs.shape
    rows = "".join(
        f"<tr><td>{escape(name or 'no label')}</td><td>{(docs.labels == n).sum()}</td>"
        f"<td>{docs.tokens[docs.labels == n].sum():,}</td></tr>"
        for n, name in enumerate(docs.names)
    )
    control = (
        f"The control, drawn beside: {escape(survey.control.provenance.title)}."
        if survey.control
        else "<strong>There is no control here</strong>: an untrained router separates labels "
        "too, because their tokens differ. Record the same texts with "
        "<code>untrained_twin(model)</code> before claiming anything about training."
    )
    synthetic = (
        '<p class="note"><strong>Random weights: nothing here is about a real model.</strong></p>'
        if trace.provenance.synthetic
        else ""
    )
    left_out = "".join(f'<p class="note">{escape(note)}</p>' for note in docs.left_out_note)
    return (
        f"<h1>How {escape(trace.provenance.model)} routes</h1>\n"
        f'<p class="muted">{escape(trace.provenance.title)}</p>{synthetic}{left_out}\n'
        f"<p>{docs.documents:,} documents, {docs.tokens.sum():,} tokens (special tokens left "
        f"out), {len(trace.layers)} layers of {trace.expert_count} experts, "
        f"{k} for each token. {control}</p>\n"
        "<p>The same expert number in another layer is another network: nothing here is summed "
        "over layers by number.</p>\n"
        "<table><thead><tr><th>label</th><th>documents</th><th>tokens</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _shown(survey: Survey, name: str) -> str:
    if name == "text":
        return _text(survey.trace)
    if name == "table 5":
        return _table_5(survey)
    found = survey.findings.get(name)
    if found is None:
        return ""
    control = survey.controls.get(name)
    if name in ("paths", "committee", "committee_overlap"):
        tables = [found.to_html(40), *([control.to_html(20)] if control else [])]
        return "".join(f'<div class="wide">{table}</div>' for table in tables)
    drawn = chart(found, control)
    shown = drawn.to_html(plotly=False)
    if control is not None and drawn.data is found:  # drawn alone: so is the control
        other = chart(control).to_html(plotly=False)
        shown += f"<details><summary>The same for the control</summary>{other}</details>"
    if name == "load":
        every = chart(found, control, view="map")
        if every.title != drawn.title:  # bars of one layer: and then all layers
            shown += every.to_html(plotly=False)
    return shown


def _text(trace: Trace | TraceDataset) -> str:
    """The explorer on one prompt of each label."""
    if isinstance(trace, TraceDataset) and trace.summarised:
        return "<p>Counts were kept of this corpus and not its texts: there is none to show.</p>"
    parts, seen = [], set[str]()
    for one in [trace] if isinstance(trace, Trace) else trace:
        new = [name for name in one.labels if name not in seen]
        first = [next(n for n, p in enumerate(one.prompts) if p.label == name) for name in new]
        seen.update(new)
        parts += [one.select(prompt=first)] if first else []
    return opened(Trace.join(parts)).to_html()


def _table_5(survey: Survey) -> str:
    """The paper's Table 5 beside the same for this trace and for its control."""
    layers = survey.trace.layers
    named = (layers[0], layers[len(layers) // 2], layers[-1])
    own = survey.findings["repetition"]
    whats = list(dict.fromkeys(own["what"].tolist()))
    head = "".join(
        f'<th scope="col">{what}, {where}</th>'
        for what in whats
        for where in ("first layer", "middle layer", "last layer")
    )
    uniform = own.where(layer=named[0])
    base = [uniform["uniform"][list(uniform["what"]).index(what)] for what in whats]
    rows = []
    for kind, findings in (
        (survey.trace.provenance.title, survey.findings),
        (f"control: {survey.control.provenance.title}" if survey.control else "", survey.controls),
    ):
        found = findings.get("repetition")
        if found is None:
            continue
        rows.append(_band(f"{kind}, %; layers {named}"))
        for label in dict.fromkeys(found["label"].tolist()):
            cells = []
            for what in dict.fromkeys(found["what"].tolist()):
                part = found.where(label=label, what=what)
                for layer in named:
                    row = next(part.where(layer=layer).rows())
                    share, low, high, mixed = (
                        100 * row[name] for name in ("share", "low", "high", "shuffled")
                    )
                    around = f"{low:.0f}–{high:.0f}; " if np.isfinite(low) else ""  # one document
                    cells.append(
                        f"<td>{share:.1f} <span class=muted>({around}shuffled {mixed:.1f})</span>"
                        "</td>"
                        if np.isfinite(share)
                        else "<td>–</td>"
                    )
            rows.append(f"<tr><td>{escape(label or 'texts')}</td>{''.join(cells)}</tr>")
    rows.append(
        _band(
            "PUBLISHED, not measured here: Mixtral 8x7B on subsets of The Pile "
            f"({published.PAPER}, Table 5), %; layers {published.REPETITION_LAYERS}"
            + ("" if whats[1] == WHAT[1] else "; any choice is its first or second")
        )
    )
    for domain, groups in published.REPETITION.items():
        cells = "".join(f"<td>{value:.1f}</td>" for group in groups for value in group)
        rows.append(f'<tr class="muted"><td>{domain}</td>{cells}</tr>')
    even = "".join(f"<td>{100 * b:.2f}</td>" * 3 for b in base)
    rows.append(f"<tr><td>even routing</td>{even}</tr>")
    return (
        '<div class="wide"><table><caption>Consecutive tokens sent to the same expert'
        f"</caption><thead><tr><th></th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _band(text: str) -> str:
    """A row across the table that says whose numbers follow."""
    return f'<tr><th colspan="7" scope="rowgroup">{escape(text)}</th></tr>'


#: Title, text and content of each section, in the order of the paper, then of those after it.
_SECTIONS: list[tuple[str, str, tuple[str, ...]]] = [
    (
        "Load",
        "The paper's Figures 7 and 9: the share of each layer's assignments that each expert "
        "takes, for all choices, the first, and the second. Dashed: even routing. The paper found "
        "no obvious pattern by topic for Mixtral, DM Mathematics excepted a little.",
        ("load", "load_first", "load_second"),
    ),
    (
        "Text",
        "The paper's Figure 8: tokens coloured by their first choice. Its reading for Mixtral: "
        "syntax rather than domain, especially at the initial and final layers.",
        ("text",),
    ),
    (
        "Repetition",
        "The paper's Figure 10 and Table 5: how often consecutive tokens go to the same expert. "
        "Two baselines are stricter than even routing: independent tokens with this label's "
        "loads (matched), and the same document's tokens in random order (shuffled). Only what is "
        "above shuffled comes from the order of the text.",
        ("repetition", "table 5"),
    ),
    (
        "Languages and labels",
        "How differently labels are routed, and the same passage in two languages (arXiv "
        "2510.04694 found languages apart in early and late layers and shared in the middle, for "
        "Qwen3, Phi-3.5, GPT-OSS and OLMoE, not for Mixtral).",
        ("label_divergence", "language_divergence"),
    ),
    (
        "Vocabulary",
        "Whether a token goes to one expert whatever surrounds it (arXiv 2409.02060).",
        ("vocabulary",),
    ),
    (
        "Experts chosen together",
        "Of one expert's tokens, the share that also goes to another.",
        ("coactivation",),
    ),
    ("Certainty", "Margins and entropies of the decisions.", ("certainty", "margins")),
    ("Paths through the layers", "From one layer to the next.", ("transitions", "paths")),
    (
        "A cache of experts",
        "What a small fast memory for experts would hit (random eviction is the baseline to beat).",
        ("expert_cache",),
    ),
    (
        "Standing committees",
        "The fewest experts that take half of a layer's gates, and how far labels share them.",
        ("committee", "committee_overlap"),
    ),
    (
        "Damage",
        "What turning off one expert does to the loss of each label: causal, where everything "
        "above only counts.",
        ("effects",),
    ),
]
