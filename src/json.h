/*
 * json.h
 *		JSON text: the members of an object, found in one pass; strings to and fro.
 *
 * Text is in the database's encoding, verified, and need not end with a zero. Nothing here raises
 * an error for bad data.
 */
#ifndef KAFKA_JSON_H
#define KAFKA_JSON_H

#include "lib/stringinfo.h"

typedef enum KafkaJsonKind
{
	KAFKA_JSON_NULL,
	KAFKA_JSON_BOOL,
	KAFKA_JSON_NUMBER,
	KAFKA_JSON_STRING,
	KAFKA_JSON_ARRAY,
	KAFKA_JSON_OBJECT
} KafkaJsonKind;

/*
 * A member that is looked for, and those looked for inside it. The root stands for the whole text.
 * What was found is part of it, so that nothing has to be allocated for a message.
 */
typedef struct KafkaJsonMember
{
	const char *name;			/* not zero-terminated */
	int			len;			/* of name */
	int			quotedlen;
	const char *quoted;			/* name as JSON has it, in quotes; NULL where it has escapes */
	uint64		head;			/* its first eight bytes ... */
	uint64		headmask;		/* ... or as many as there are; 0 where it is NULL */
	struct KafkaJsonMember **children;
	int			nchildren;
	int			number;			/* its user's own; -1 at first */
	int		   *slots;			/* hash table of the children's numbers + 1; NULL where few */
	int			nslots;			/* a power of two */
	struct KafkaJsonMember *first;	/* the child that came first in the message before */
	struct KafkaJsonMember *after;	/* the one that came after this one then */

	/* what the message read last has, if serial is the reader's */
	uint64		serial;
	KafkaJsonKind kind;
	bool		escaped;		/* a string with escapes */
	const char *text;			/* the value; a string's without its quotes */
	Size		size;
} KafkaJsonMember;

#define KAFKA_JSON_LEVELS 1024	/* of nesting, without memory for them */

/* The character of a code point that is not ASCII in the database's encoding; 0: it has none. */
typedef Size (*KafkaJsonEncodeFn) (void *arg, uint32 codepoint, char *output);

typedef struct KafkaJsonReader
{
	KafkaJsonEncodeFn encode;
	void	   *arg;			/* its */
	const char *end;			/* of the text */
	uint64		serial;			/* of the text */
	int			nunknown;		/* members of the root's object that nobody looks for */
	int			deepest;		/* level of nesting in what nobody looks into */
	uint64	   *levels;			/* a bit for each: set where it is an object */
	int			nlevels;		/* there is memory for */
	uint64		few[KAFKA_JSON_LEVELS / 64];
} KafkaJsonReader;

extern void KafkaJsonInit(KafkaJsonReader *reader, KafkaJsonEncodeFn encode, void *arg);

/* An empty root. Like all members, allocated in the current context. */
extern KafkaJsonMember *KafkaJsonMakeRoot(void);

/* The member of this name, made where there is none yet. The name is not copied. */
extern KafkaJsonMember *KafkaJsonAddMember(KafkaJsonMember *parent, const char *name, int len);

/*
 * Find the members below root in a text. False where it is not JSON, by the rules of json_in(): all
 * of it is looked at. Of equal names the last one counts, as in jsonb. root->kind says what the
 * text is. Memory for very deep nesting comes from the current context.
 */
extern bool KafkaJsonRead(KafkaJsonReader *reader, KafkaJsonMember *root,
						  const char *text, Size size);

/* True where the text had the member. */
static inline bool
KafkaJsonFound(const KafkaJsonReader *reader, const KafkaJsonMember *member)
{
	return member->serial == reader->serial;
}

/* Why a string is no text, though it is valid JSON. */
typedef enum KafkaJsonString
{
	KAFKA_JSON_STRING_OK,
	KAFKA_JSON_STRING_ZERO,		/* \u0000 */
	KAFKA_JSON_STRING_HIGH,		/* a high surrogate after a high one */
	KAFKA_JSON_STRING_LOW,		/* half a surrogate pair */
	KAFKA_JSON_STRING_LACKING	/* a character that the database's encoding lacks */
} KafkaJsonString;

/*
 * The text that a valid string with escapes, without its quotes, stands for. It is not longer than
 * the string, for which output has to have room.
 */
extern KafkaJsonString KafkaJsonUnescape(const char *string, Size size, KafkaJsonEncodeFn encode,
										 void *arg, char *output, Size *outsize);

/* Append text as a string, in quotes. */
extern void KafkaJsonAppendString(StringInfo output, const char *string, Size size);

#endif							/* KAFKA_JSON_H */
