/*
 * json.c
 *		JSON text: the members of an object, found in one pass.
 *
 * PostgreSQL's parser makes a copy of every name and every scalar, and a hash table of them. Here
 * the members that are looked for are known beforehand, so a message is read once from front to
 * back, and of the members that are wanted it is noted where their values are. Two things make
 * this quick: messages of a topic have their members in the same order, so the next name is
 * compared with the one that is expected before it is looked at in any other way; and strings are
 * passed over eight bytes at a time.
 *
 * What is accepted is what json_in() accepts, neither more nor less, but for the depth of nesting:
 * values that nobody looks into are read without recursion.
 */
#include "postgres.h"

#include <limits.h>

#include "common/hashfn.h"
#include "port/pg_bitutils.h"

#include "json_private.h"

/* Up to this many children are searched one by one. */
#define FEW_CHILDREN 8

/* ---- The members that are looked for */

KafkaJsonMember *
KafkaJsonMakeRoot(void)
{
	KafkaJsonMember *root = palloc0(sizeof(KafkaJsonMember));

	root->number = -1;
	return root;
}

static uint32
hash_name(const char *name, int len)
{
	return hash_bytes((const unsigned char *) name, len);
}

/* Put a child into its parent's hash table. */
static void
add_slot(KafkaJsonMember *parent, int number)
{
	KafkaJsonMember *child = parent->children[number];
	uint32		slot = hash_name(child->name, child->len);

	while (parent->slots[slot & (parent->nslots - 1)] != 0)
		slot++;
	parent->slots[slot & (parent->nslots - 1)] = number + 1;
}

/* Make a hash table at most half full. */
static void
make_slots(KafkaJsonMember *parent)
{
	if (parent->slots != NULL)
		pfree(parent->slots);
	parent->nslots = pg_nextpower2_32(parent->nchildren * 4);
	parent->slots = palloc0(parent->nslots * sizeof(int));
	for (int i = 0; i < parent->nchildren; i++)
		add_slot(parent, i);
}

static inline bool
has_name(const KafkaJsonMember *member, const char *name, int len)
{
	return member->len == len && memcmp(member->name, name, len) == 0;
}

/* The child of a name, or NULL. */
static KafkaJsonMember *
find_child(const KafkaJsonMember *parent, const char *name, Size len)
{
	if (len > INT_MAX)
		return NULL;
	if (parent->slots == NULL)
	{
		for (int i = 0; i < parent->nchildren; i++)
		{
			if (has_name(parent->children[i], name, (int) len))
				return parent->children[i];
		}
		return NULL;
	}
	for (uint32 slot = hash_name(name, (int) len);; slot++)
	{
		int			number = parent->slots[slot & (parent->nslots - 1)];

		if (number == 0)
			return NULL;
		if (has_name(parent->children[number - 1], name, (int) len))
			return parent->children[number - 1];
	}
}

KafkaJsonMember *
KafkaJsonAddMember(KafkaJsonMember *parent, const char *name, int len)
{
	KafkaJsonMember *member = find_child(parent, name, len);
	StringInfoData quoted;

	if (member != NULL)
		return member;

	member = palloc0(sizeof(KafkaJsonMember));
	member->number = -1;
	member->name = name;
	member->len = len;
	initStringInfo(&quoted);
	KafkaJsonAppendString(&quoted, name, len);
	if (quoted.len == len + 2)
	{
		Size		headlen = Min((Size) quoted.len, sizeof(uint64));

		member->quoted = quoted.data;
		member->quotedlen = quoted.len;
		memcpy(&member->head, quoted.data, headlen);
		memset(&member->headmask, 0xFF, headlen);
	}

	if (parent->nchildren == 0)
	{
		parent->children = palloc(sizeof(KafkaJsonMember *));
		parent->first = member;
	}
	else
	{
		parent->children = repalloc(parent->children,
									(parent->nchildren + 1) * sizeof(KafkaJsonMember *));
		parent->children[parent->nchildren - 1]->after = member;
	}
	parent->children[parent->nchildren++] = member;

	if (parent->nchildren * 2 > parent->nslots && parent->nchildren > FEW_CHILDREN)
		make_slots(parent);
	else if (parent->slots != NULL)
		add_slot(parent, parent->nchildren - 1);
	return member;
}

/* ---- Tokens. Each function returns where its token ends, or NULL where it is none. */

static const char *
skip_more_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* Usually there is none, or one. */
static inline const char *
skip_space(const char *p, const char *end)
{
	if (p == end || (unsigned char) *p > ' ')
		return p;
	if (*p == ' ' && end - p > 1 && (unsigned char) p[1] > ' ')
		return p + 1;
	return skip_more_space(p, end);
}

static inline bool
is_digit(char c)
{
	return (unsigned char) (c - '0') <= 9;
}

/* p is behind the opening quote. */
static inline const char *
skip_string(const char *p, const char *end, bool *escaped)
{
	*escaped = false;
	for (;;)
	{
		p = skip_plain(p, end);
		if (p == end)
			return NULL;
		if (*p == '"')
			return p + 1;
		if (*p != '\\' || end - p < 2)
			return NULL;
		*escaped = true;
		switch (p[1])
		{
			case '"':
			case '\\':
			case '/':
			case 'b':
			case 'f':
			case 'n':
			case 'r':
			case 't':
				p += 2;
				break;

			case 'u':
				if (end - p < 6 || hex_digits(p + 2) < 0)
					return NULL;
				p += 6;
				break;

			default:
				return NULL;
		}
	}
}

static inline const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

static inline const char *
skip_number(const char *p, const char *end)
{
	if (*p == '-' && ++p == end)
		return NULL;
	if (*p == '0')
		p++;
	else if (is_digit(*p))
		p = skip_digits(p + 1, end);
	else
		return NULL;

	if (p < end && *p == '.')
	{
		if (++p == end || !is_digit(*p))
			return NULL;
		p = skip_digits(p, end);
	}
	if (p < end && (*p == 'e' || *p == 'E'))
	{
		if (++p < end && (*p == '+' || *p == '-'))
			p++;
		if (p == end || !is_digit(*p))
			return NULL;
		p = skip_digits(p, end);
	}
	return p;
}

/* What follows has to be a comma, a bracket or the end, so the word needs no look for its end. */
static inline const char *
skip_word(const char *p, const char *end, const char *word, int len)
{
	return end - p >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

/* Anything but an array or an object. p is before the end. */
static inline const char *
skip_scalar(const char *p, const char *end, KafkaJsonKind *kind, bool *escaped)
{
	switch (*p)
	{
		case '"':
			*kind = KAFKA_JSON_STRING;
			return skip_string(p + 1, end, escaped);

		case 'n':
			*kind = KAFKA_JSON_NULL;
			return skip_word(p, end, "null", 4);

		case 't':
			*kind = KAFKA_JSON_BOOL;
			return skip_word(p, end, "true", 4);

		case 'f':
			*kind = KAFKA_JSON_BOOL;
			return skip_word(p, end, "false", 5);

		default:
			*kind = KAFKA_JSON_NUMBER;
			return skip_number(p, end);
	}
}

/* The colon behind a name; returns where the value begins. */
static inline const char *
skip_colon(const char *p, const char *end)
{
	p = skip_space(p, end);
	if (p == end || *p != ':')
		return NULL;
	p = skip_space(p + 1, end);
	return p < end ? p : NULL;
}

/* A name that does not matter, and its colon; returns where the value begins. */
static inline const char *
skip_name(const char *p, const char *end)
{
	bool		escaped;

	if (*p != '"')
		return NULL;
	p = skip_string(p + 1, end, &escaped);
	return p != NULL ? skip_colon(p, end) : NULL;
}

/* ---- Values that nobody looks into */

static void
add_levels(KafkaJsonReader *reader)
{
	int			nlevels;
	uint64	   *levels;

	/* A text of a gigabyte cannot be deeper. */
	Assert(reader->nlevels <= INT_MAX / 2);
	nlevels = reader->nlevels * 2;
	levels = palloc(nlevels / 8);
	memcpy(levels, reader->levels, reader->nlevels / 8);
	if (reader->levels != reader->few)
		pfree(reader->levels);
	reader->levels = levels;
	reader->nlevels = nlevels;
}

static inline void
set_level(KafkaJsonReader *reader, int level, bool object)
{
	uint64		bit = UINT64CONST(1) << (level % 64);

	if (unlikely(level == reader->nlevels))
		add_levels(reader);
	if (object)
		reader->levels[level / 64] |= bit;
	else
		reader->levels[level / 64] &= ~bit;
}

static inline bool
level_is_object(const KafkaJsonReader *reader, int level)
{
	return (reader->levels[level / 64] >> (level % 64)) & 1;
}

/* An array or an object, p at its opening bracket. */
static const char *
skip_nested(KafkaJsonReader *reader, const char *p)
{
	const char *end = reader->end;
	int			depth = 0;
	bool		object = false; /* the innermost is one, not an array */
	bool		escaped;
	KafkaJsonKind kind;

	for (;;)
	{
		if (object)
		{
			p = skip_name(p, end);
			if (p == NULL)
				return NULL;
		}

		/* A value; the contents of one that is not empty are next. */
		if (*p == '{' || *p == '[')
		{
			object = *p == '{';
			set_level(reader, depth++, object);
			reader->deepest = Max(reader->deepest, depth);
			p = skip_space(p + 1, end);
			if (p == end)
				return NULL;
			if (*p != (object ? '}' : ']'))
				continue;
		}
		else
		{
			p = skip_scalar(p, end, &kind, &escaped);
			if (p == NULL)
				return NULL;
			p = skip_space(p, end);
			if (p == end)
				return NULL;
		}

		/* What ends here, and the comma after it. */
		while (*p == (object ? '}' : ']'))
		{
			if (--depth == 0)
				return p + 1;
			object = level_is_object(reader, depth - 1);
			p = skip_space(p + 1, end);
			if (p == end)
				return NULL;
		}
		if (*p != ',')
			return NULL;
		p = skip_space(p + 1, end);
		if (p == end)
			return NULL;
	}
}

/* ---- Values that are looked for */

static const char *read_object(KafkaJsonReader *reader, KafkaJsonMember *parent, const char *p);

/* Whatever was found inside an earlier member of the same name does not count. */
static void
forget_children(KafkaJsonMember *member)
{
	for (int i = 0; i < member->nchildren; i++)
	{
		KafkaJsonMember *child = member->children[i];

		if (child->serial != 0)
		{
			child->serial = 0;
			forget_children(child);
		}
	}
}

/* The value of a member, p at its begin. */
static inline const char *
read_value(KafkaJsonReader *reader, KafkaJsonMember *member, const char *p)
{
	const char *begin = p;

	if (unlikely(member->serial == reader->serial))
		forget_children(member);
	member->serial = reader->serial;
	member->escaped = false;
	if (*p == '{' && member->nchildren > 0)
	{
		member->kind = KAFKA_JSON_OBJECT;
		p = read_object(reader, member, p + 1);
	}
	else if (*p == '{' || *p == '[')
	{
		member->kind = *p == '{' ? KAFKA_JSON_OBJECT : KAFKA_JSON_ARRAY;
		p = skip_nested(reader, p);
	}
	else
		p = skip_scalar(p, reader->end, &member->kind, &member->escaped);

	if (p == NULL)
		return NULL;
	member->text = begin;
	member->size = p - begin;
	if (member->kind == KAFKA_JSON_STRING)
	{
		member->text++;
		member->size -= 2;
	}
	return p;
}

/* A value that is not looked for. */
static const char *
skip_value(KafkaJsonReader *reader, const char *p)
{
	KafkaJsonKind kind;
	bool		escaped;

	if (*p == '{' || *p == '[')
		return skip_nested(reader, p);
	return skip_scalar(p, reader->end, &kind, &escaped);
}

/* The child of a name that is written with escapes, or NULL. */
static KafkaJsonMember *
find_escaped(const KafkaJsonReader *reader, const KafkaJsonMember *parent,
			 const char *string, Size size)
{
	KafkaJsonMember *child = NULL;
	char	   *name = palloc_extended(size, MCXT_ALLOC_HUGE);
	Size		len;

	/* What is no text cannot be the name of a column. */
	if (KafkaJsonUnescape(string, size, reader->encode, reader->arg,
						  name, &len) == KAFKA_JSON_STRING_OK)
		child = find_child(parent, name, len);
	pfree(name);
	return child;
}

/*
 * True where a member's name, in quotes, stands at p, as far as can be told from there: where it has
 * escapes, or the text is about to end, it is false.
 */
static inline bool
is_at_name(const KafkaJsonMember *member, const char *p, const char *end)
{
	uint64		head;

	if (end - p < (ptrdiff_t) sizeof(head))
		return false;
	memcpy(&head, p, sizeof(head));
	if (((head ^ member->head) & member->headmask) != 0 || member->quoted == NULL)
		return false;
	return member->quotedlen <= (int) sizeof(head) ||
		(end - p >= member->quotedlen &&
		 memcmp(p + sizeof(head), member->quoted + sizeof(head),
				member->quotedlen - sizeof(head)) == 0);
}

/* The name of a member, p at its begin; says which child it names, if any. */
static inline const char *
read_name(const KafkaJsonReader *reader, const KafkaJsonMember *parent,
		  KafkaJsonMember *expected, const char *p, KafkaJsonMember **child)
{
	const char *name = p + 1;
	bool		escaped;

	if (likely(expected != NULL && is_at_name(expected, p, reader->end)))
	{
		*child = expected;
		return p + expected->quotedlen;
	}

	if (*p != '"')
		return NULL;
	p = skip_string(name, reader->end, &escaped);
	if (p == NULL)
		return NULL;
	*child = unlikely(escaped) ? find_escaped(reader, parent, name, p - 1 - name)
		: find_child(parent, name, p - 1 - name);
	return p;
}

/*
 * An object whose members are looked for, p behind its opening bracket. Calls itself as deep as the
 * tree of those members is.
 */
static const char *
read_object(KafkaJsonReader *reader, KafkaJsonMember *parent, const char *p)
{
	const char *end = reader->end;
	KafkaJsonMember **follows = &parent->first; /* where the one before says what comes next */
	int			nunknown = 0;

	p = skip_space(p, end);
	if (p < end && *p == '}')
		p++;
	else
	{
		for (;;)
		{
			KafkaJsonMember *child;

			if (p == end)
				return NULL;
			p = read_name(reader, parent, *follows, p, &child);
			if (p != NULL)
				p = skip_colon(p, end);
			if (p == NULL)
				return NULL;

			if (child == NULL)
			{
				nunknown++;
				p = skip_value(reader, p);
			}
			else
			{
				*follows = child;
				follows = &child->after;
				p = read_value(reader, child, p);
			}

			if (p == NULL)
				return NULL;
			p = skip_space(p, end);
			if (p == end)
				return NULL;
			if (*p++ == ',')
				p = skip_space(p, end);
			else if (p[-1] == '}')
				break;
			else
				return NULL;
		}
	}
	reader->nunknown = nunknown;	/* at last the root's */
	return p;
}

void
KafkaJsonInit(KafkaJsonReader *reader, KafkaJsonEncodeFn encode, void *arg)
{
	memset(reader, 0, sizeof(KafkaJsonReader));
	reader->encode = encode;
	reader->arg = arg;
}

bool
KafkaJsonRead(KafkaJsonReader *reader, KafkaJsonMember *root, const char *text, Size size)
{
	const char *p;

	reader->end = text + size;
	reader->serial++;
	reader->nunknown = 0;
	reader->deepest = 0;
	reader->levels = reader->few;
	reader->nlevels = KAFKA_JSON_LEVELS;

	p = skip_space(text, reader->end);
	if (p == reader->end)
		return false;
	p = read_value(reader, root, p);
	return p != NULL && skip_space(p, reader->end) == reader->end;
}
