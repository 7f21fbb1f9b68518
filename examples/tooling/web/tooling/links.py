"""The page of links, adding one and deleting one. Every user of the team may do all of it."""

from urllib.parse import urlsplit

from flask import Blueprint, flash, g, redirect, render_template, url_for
from werkzeug.wrappers import Response

from tooling.access import login_required
from tooling.forms import LinkForm
from tooling.parts import store

pages = Blueprint("links", __name__)


@pages.app_template_filter("host")
def host(url: str) -> str:
    """Return what a card shows of a URL: where it leads."""
    return urlsplit(url).netloc


@pages.get("/")
@login_required
def page() -> str:
    """Show all tools and the form for one more."""
    return _rendered(LinkForm(formdata=None))


@pages.post("/links")
@login_required
def add() -> Response | tuple[str, int]:
    """Add a tool, or show the form again with what is wrong in it."""
    form = LinkForm()
    if not form.validate():
        return _rendered(form), 422
    store().add_link(form.title.data, form.url.data)
    flash(f"{form.title.data} was added.")
    return redirect(url_for("links.page"), code=303)


@pages.post("/links/<int:link_id>/delete")
@login_required
def delete(link_id: int) -> Response:
    """Delete a tool; one that is gone already is no error."""
    if store().delete_link(link_id):
        flash("The tool was deleted.")
    return redirect(url_for("links.page"), code=303)


def _rendered(form: LinkForm) -> str:
    return render_template("links.html", form=form, links=store().links(), user=g.user)
