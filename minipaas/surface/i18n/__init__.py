"""What people read, in their language: one catalogue file a language (`en.toml`, `zh.toml`), messages as plain data.

What always holds: all catalogues have the same keys with the same placeholders; text is escaped where it becomes HTML;
the API and the command line speak English, the page its reader's language.
"""

from minipaas.surface.i18n.catalogue import EN, LANGUAGES, Catalogue, catalogue
from minipaas.surface.i18n.choice import choose
from minipaas.surface.i18n.message import Message, Moment, Names, Span, message

__all__ = ["EN", "LANGUAGES", "Catalogue", "Message", "Moment", "Names", "Span", "catalogue", "choose", "message"]
