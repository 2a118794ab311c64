"""Read files of conversations into `Conversation`s; no text is lost or changed.

`files` finds and reads files, `formats` is the table of formats, and each format is a module of its own.

A file has only one form of labels, the first in it, so a dialogue that is quoted in another form or in a code block
adds no turns. In JSON, content other than text becomes its kind and name in brackets, such as "[image]", "[file:
a.pdf]" and "[tool: search]" (see `Detail`); a lone surrogate, which no file can contain, becomes U+FFFD. Of an edited
question or a second answer only the branch that was seen last is read. A message whose words would not all be in its
turn is an error of its conversation. Conversations of an export without messages are left out.

The id of a conversation is the export's, else the file's stem. An id that cannot be a file name becomes its safe
characters and twelve digits of its SHA-256 ("../../x" becomes "x-…").
"""

from .files import FileRead, conversation_files, list_conversations, read_conversations, read_file
from .message import Detail

__all__ = ["Detail", "FileRead", "conversation_files", "list_conversations", "read_conversations", "read_file"]
