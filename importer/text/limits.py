"""How much HTML is laid out. Beyond these limits only its text is kept, all of it (markup.py)."""

# So few tags are laid out at once, however they are nested; almost every message has fewer.
FEW_TAGS = 1_000
# Laying out takes about 30 µs a tag.
MOST_TAGS = 50_000
# inscriptis copies the line so far at each link: its time grows with the square of their number.
MOST_LINKS = 5_000
# Both parsers compare each attribute of a tag with all others of the tag.
MOST_ATTRIBUTES = 1_000
# libxml2 drops the rest of a document that is nested deeper than 255 tags. Long e-mail histories reach about
# 100.
DEEPEST = 250
# The depths of all tags together. HTML5 parsers walk up the open tags at each tag, and open unclosed <b>
# and the like again in each paragraph.
MOST_DEPTH_IN_ALL = 1_000_000
# html5ever copies the text so far at many of them.
MOST_AMPERSANDS = 200_000
