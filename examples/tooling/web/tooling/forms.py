"""The site's forms and what they refuse. Their HTML is in the templates."""

from urllib.parse import urlsplit

from flask_wtf import FlaskForm
from wtforms import Field, PasswordField, StringField, ValidationError
from wtforms.validators import DataRequired, Length

LONGEST_TITLE = 80
LONGEST_URL = 2000


def refused_because(url: str) -> str | None:
    """Return why a URL is no link for the page, or None for a good one.

    Only http and https: `javascript:` and `data:` would run in the reader's browser, whoever added them.
    """
    if any(character.isspace() or not character.isprintable() for character in url):
        return "The URL has a space or a control character in it."
    try:
        split = urlsplit(url)
        host, _ = split.hostname, split.port
    except ValueError:
        return "The URL's host or port is wrong."
    if split.scheme not in ("http", "https"):
        return "The URL must begin with http:// or https://."
    if not host:
        return "The URL names no host."
    if split.username is not None or split.password is not None:
        return "The URL has a login in it, which everybody would see."
    return None


def _stripped(value: str | None) -> str | None:
    return value.strip() if value else value


class LoginForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """A name and a password."""

    name = StringField(validators=[DataRequired("A name is needed."), Length(max=64)])
    password = PasswordField(validators=[DataRequired("A password is needed."), Length(max=1024)])


class LinkForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """A tool's title and where it is."""

    title = StringField(
        filters=[_stripped],
        validators=[
            DataRequired("A title is needed."),
            Length(max=LONGEST_TITLE, message="The title has over %(max)d characters."),
        ],
    )
    url = StringField(
        filters=[_stripped],
        validators=[
            DataRequired("A URL is needed."),
            Length(max=LONGEST_URL, message="The URL has over %(max)d characters."),
        ],
    )

    def validate_url(self, field: Field) -> None:
        """Refuse what is no plain web address."""
        if reason := refused_because(field.data):
            raise ValidationError(reason)
