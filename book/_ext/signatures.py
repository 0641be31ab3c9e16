"""Signatures on the pages of the package, as a reader would write them.

A class whose fields stand below it is one that the package makes and a reader reads. It shows no constructor, which
nobody calls, and its fields show no defaults, which nobody meets.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.inspect import TypeAliasForwardRef

# What sphinx.ext.autodoc writes, and what a reader writes after the imports that the page assumes.
SPELLINGS = {
    "[[...], ": "[..., ",
    "~torch.nn.modules.module.Module": "nn.Module",
    "~PIL.Image.Image": "PIL.Image.Image",
}
# A type that contains itself would be spelled out, once and a half, and others say how long a text may be. Autodoc
# evaluates the name of an alias in this same table; where it finds nothing, it gives up and knows the home of no type
# in the class.
SHORT = {
    "Argument": "~casestudies.graph.Argument",
    "Kind": "str",
    "Name": "str",
    "State": "dict[str, ~torch.Tensor]",
}
ALIASES = {
    **{name: f"The{name}" for name in SHORT},
    **{f"The{name}": TypeAliasForwardRef(short) for name, short in SHORT.items()},
}


def spelled(text: str | None) -> str | None:
    """
    >>> spelled("(make: ~typing.Callable[[...], ~torch.nn.modules.module.Module])")
    '(make: ~typing.Callable[..., nn.Module])'
    """
    for found, wanted in SPELLINGS.items():
        text = text and text.replace(found, wanted)
    return text


def readable(
    app: Sphinx, what: str, name: str, made: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """The signature and what is returned; neither, for a class whose members are its fields."""
    fields = dataclasses.is_dataclass(made) or typing.is_typeddict(made)
    if what == "class" and fields and options.members:
        options["no-value"] = True
        return "", None
    return spelled(signature), spelled(returns)


def with_aliases(app: Sphinx, config: Any) -> None:
    config.autodoc_type_aliases = ALIASES


def type_that_is_no_class(
    app: Sphinx, env: BuildEnvironment, node: Any, words: Any
) -> nodes.reference | None:
    """Finds a type that is an assignment: in a signature Sphinx looks for classes only."""
    if (node.get("refdomain"), node.get("reftype")) != ("py", "class"):
        return None
    target = node["reftarget"]
    return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "data", target, node, words)


def stands_alone(node: nodes.Node) -> bool:
    """
    Whether a node is a block and no part of a line; references and images count as both.

    >>> [stands_alone(made("")) for made in (nodes.paragraph, nodes.bullet_list, nodes.reference, nodes.image)]
    [True, True, False, False]
    """
    return isinstance(node, nodes.Body) and not isinstance(node, nodes.Inline)


def paragraphs_apart(app: Sphinx, doctree: nodes.document) -> None:
    """Takes the paragraphs and lists of a field out of the one that Sphinx puts around all of them: no paragraph may
    stand in another, which a reader of EPUB refuses."""
    for outer in [
        each for body in doctree.findall(nodes.field_body) for each in body.findall(nodes.paragraph)
    ]:
        for inner in [child for child in outer.children if isinstance(child, nodes.inline)]:
            if any(map(stands_alone, inner.children)):  # for translators
                outer.replace(inner, inner.children)
        blocks = [*filter(stands_alone, outer.children)]
        if not blocks:
            continue
        first = blocks[0]
        for block in blocks:
            outer.remove(block)
        if isinstance(first, nodes.paragraph):  # it goes on where the name of the argument ends
            outer.extend(first.children)
            del blocks[0]
        place = outer.parent.index(outer) + 1
        outer.parent[place:place] = blocks


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("config-inited", with_aliases)
    app.connect("missing-reference", type_that_is_no_class)
    app.connect("autodoc-process-signature", readable)
    app.connect("doctree-read", paragraphs_apart)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
