/*
 * offset.c
 *		Where in a partition: the values of start_offset and end_offset.
 *
 * A value is kept as text and parsed again by every scan, in whatever session. So nothing here may
 * depend on a session's settings: a time must state its zone, dates are year first, and the minus
 * of an age belongs to all of it. For the same reason the JSON is parsed by hand: it is a subset
 * (no escapes, no nesting), a mistake in it is reported as one in the option, and a partition
 * named twice is one.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "message.h"
#include "offset.h"

/* A value that is being parsed. */
typedef struct OffsetParser
{
	KafkaOffsetUse use;
	const char *rest;			/* of a JSON object: what is not yet read */
	const char *reason;			/* why the value cannot be accepted; NULL: nothing to say */
} OffsetParser;

static const char *
option_name(KafkaOffsetUse use)
{
	return use == KAFKA_START_OFFSET ? "start_offset" : "end_offset";
}

/* Digits alone, as a number; false for anything else, and for what an offset cannot be. */
static bool
parse_digits(const char *text, int64 *value)
{
	int64		result = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9' ||
			pg_mul_s64_overflow(result, 10, &result) ||
			pg_add_s64_overflow(result, *text - '0', &result))
			return false;
	}
	*value = result;
	return true;
}

/* A time as a session with this zone would read it; false where it is none. */
static bool
decode_time(const char *text, const char *zone, TimestampTz *result)
{
	int			nestlevel = NewGUCNestLevel();
	char		buffer[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nfields;
	int			dtype;
	int			tz;
	struct pg_tm tm;
	fsec_t		fsec;
	bool		ok;

	(void) set_config_option("timezone", zone, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	(void) set_config_option("datestyle", "ISO, YMD", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	ok = ParseDateTime(text, buffer, sizeof(buffer), field, ftype, MAXDATEFIELDS, &nfields) == 0 &&
		kafka_decode_datetime(field, ftype, nfields, &dtype, &tm, &fsec, &tz) == 0 &&
		dtype == DTK_DATE &&
		tm2timestamp(&tm, fsec, &tz, result) == 0;
	AtEOXact_GUC(true, nestlevel);
	return ok;
}

/*
 * What follows an @, as a time. It has a zone of its own if it is the same time wherever it is
 * read. The words now, today and so on are none: the option would mean another time each day.
 */
static bool
parse_time(OffsetParser *parser, const char *text, KafkaOffset *offset)
{
	TimestampTz time;
	TimestampTz elsewhere;
	int64		ms;

	if (strpbrk(text, "0123456789") == NULL || !decode_time(text, "0", &time))
	{
		parser->reason = "An @ is followed by a time such as 2024-05-31 12:00:00+02, or by an age "
			"such as -1h.";
		return false;
	}
	if (!decode_time(text, "1", &elsewhere) || time != elsewhere)
	{
		parser->reason = "A time needs its zone, such as 2024-05-31 12:00:00+02.";
		return false;
	}

	/* The first millisecond that is not before it. Kafka's time begins in 1970. */
	ms = time / 1000 + (time % 1000 > 0 ? 1 : 0) + KAFKA_EPOCH_DIFFERENCE_US / 1000;
	offset->kind = KAFKA_OFFSET_TIME;
	offset->value = Min(Max(ms, 0), PG_INT64_MAX / 1000);
	return true;
}

/* What follows @-, as a length of time. */
static bool
parse_age(OffsetParser *parser, const char *text, KafkaOffset *offset)
{
	char		buffer[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nfields;
	int			dtype;
	struct pg_itm_in itm;
	int64		us;

	parser->reason = "An age is a length of time in days, hours, minutes or seconds, such as "
		"@-1h or @-7 days.";

	/* A number alone would be seconds here and milliseconds elsewhere. */
	if (strpbrk(text, "+-") != NULL || text[strspn(text, "0123456789. ")] == '\0')
		return false;
	if (ParseDateTime(text, buffer, sizeof(buffer), field, ftype, MAXDATEFIELDS, &nfields) != 0 ||
		DecodeInterval(field, ftype, nfields, INTERVAL_FULL_RANGE, &dtype, &itm) != 0 ||
		dtype != DTK_DELTA)
		return false;
	if (itm.tm_year != 0 || itm.tm_mon != 0)
	{
		parser->reason = "Months and years have no fixed length: use days.";
		return false;
	}
	if (pg_mul_s64_overflow(itm.tm_mday, USECS_PER_DAY, &us) ||
		pg_add_s64_overflow(us, itm.tm_usec, &us) || us < 0)
		return false;
	parser->reason = NULL;
	offset->kind = KAFKA_OFFSET_AGE;
	offset->value = us / 1000;
	return true;
}

/* A value for all partitions, or for one in a JSON object. */
static bool
parse_offset(OffsetParser *parser, const char *text, KafkaOffset *offset)
{
	static const struct
	{
		const char *word;
		KafkaOffsetUse use;
		KafkaOffsetKind kind;
	}			words[] = {
		{"earliest", KAFKA_START_OFFSET, KAFKA_OFFSET_EARLIEST},
		{"oldest", KAFKA_START_OFFSET, KAFKA_OFFSET_EARLIEST},
		{"beginning", KAFKA_START_OFFSET, KAFKA_OFFSET_EARLIEST},
		{"newest", KAFKA_START_OFFSET, KAFKA_OFFSET_NEWEST},
		{"latest", KAFKA_START_OFFSET, KAFKA_OFFSET_NEWEST},
		{"end", KAFKA_START_OFFSET, KAFKA_OFFSET_NEWEST},
		{"snapshot", KAFKA_END_OFFSET, KAFKA_OFFSET_SNAPSHOT}
	};

	offset->value = 0;
	for (int i = 0; i < lengthof(words); i++)
	{
		if (words[i].use == parser->use && pg_strcasecmp(text, words[i].word) == 0)
		{
			offset->kind = words[i].kind;
			return true;
		}
	}

	if (text[0] == '@' && text[1] == '-')
		return parse_age(parser, text + 2, offset);
	if (text[0] == '@')
		return parse_time(parser, text + 1, offset);
	if (text[0] == '-' && parser->use == KAFKA_START_OFFSET)
	{
		offset->kind = KAFKA_OFFSET_LAST;
		return parse_digits(text + 1, &offset->value) && offset->value > 0;
	}
	offset->kind = KAFKA_OFFSET_AT;
	return parse_digits(text, &offset->value);
}

static void
skip_space(OffsetParser *parser)
{
	parser->rest += strspn(parser->rest, " \t\r\n");
}

/* Step over one character of JSON's punctuation if it comes next. */
static bool
skip_char(OffsetParser *parser, char c)
{
	skip_space(parser);
	if (*parser->rest != c)
		return false;
	parser->rest++;
	return true;
}

/* The next string, or a number as it is written; NULL for anything else. */
static char *
read_scalar(OffsetParser *parser, bool number)
{
	const char *start;
	size_t		len;

	if (skip_char(parser, '"'))
	{
		start = parser->rest;
		len = strcspn(start, "\"\\");
		if (start[len] != '"')
			return NULL;
		parser->rest = start + len + 1;
	}
	else
	{
		start = parser->rest;
		len = number ? strspn(start, "-0123456789") : 0;
		if (len == 0)
			return NULL;
		parser->rest = start + len;
	}
	return pnstrdup(start, len);
}

/* Put a partition's offset into its place; false where the partition has one. */
static bool
add_partition(KafkaOffsetSpec *spec, int32 partition, KafkaOffset offset)
{
	int			n = spec->npartitions;

	if (n == 0)
		spec->partitions = palloc(sizeof(spec->partitions[0]));
	else if ((n & (n - 1)) == 0)
		spec->partitions = repalloc(spec->partitions, 2 * n * sizeof(spec->partitions[0]));

	for (; n > 0 && spec->partitions[n - 1].partition >= partition; n--)
	{
		if (spec->partitions[n - 1].partition == partition)
			return false;
		spec->partitions[n] = spec->partitions[n - 1];
	}
	spec->partitions[n].partition = partition;
	spec->partitions[n].offset = offset;
	spec->npartitions++;
	return true;
}

/* An object such as {"0": 100, "1": "newest"}. */
static bool
parse_object(OffsetParser *parser, KafkaOffsetSpec *spec)
{
	spec->all.kind = parser->use == KAFKA_START_OFFSET ? KAFKA_OFFSET_EARLIEST
		: KAFKA_OFFSET_SNAPSHOT;
	parser->reason = "A JSON object has partitions as its names and offsets as its values, such as "
		"{\"0\": 100, \"1\": \"@-1h\"}.";
	if (!skip_char(parser, '{'))
		return false;
	do
	{
		KafkaOffset offset;
		int64		partition;
		char	   *name = read_scalar(parser, false);
		char	   *value;

		if (name == NULL || !parse_digits(name, &partition) || partition > PG_INT32_MAX ||
			(name[0] == '0' && name[1] != '\0') || !skip_char(parser, ':'))
			return false;
		skip_space(parser);
		value = read_scalar(parser, true);
		if (value == NULL || !parse_offset(parser, value, &offset))
			return false;
		if (!add_partition(spec, (int32) partition, offset))
		{
			parser->reason = psprintf("Partition %d is named twice.", (int32) partition);
			return false;
		}
		pfree(name);
		pfree(value);
	} while (skip_char(parser, ','));

	if (!skip_char(parser, '}'))
		return false;
	skip_space(parser);
	return *parser->rest == '\0';
}

KafkaOffsetSpec *
KafkaOffsetParse(const char *text, KafkaOffsetUse use)
{
	KafkaOffsetSpec *spec = palloc0(sizeof(KafkaOffsetSpec));
	OffsetParser parser = {use, text, NULL};
	bool		ok;

	skip_space(&parser);
	if (*parser.rest == '{')
		ok = parse_object(&parser, spec);
	else
		ok = parse_offset(&parser, text, &spec->all);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", option_name(use), text),
				 parser.reason ? errdetail_internal("%s", parser.reason) : 0,
				 use == KAFKA_START_OFFSET
				 ? errhint("Valid values are earliest, newest, an offset, -N for the last N messages "
						   "of each partition, @ and a time with its zone, @- and an age, or a JSON "
						   "object with one of these for each partition.")
				 : errhint("Valid values are snapshot, an offset, @ and a time with its zone, @- and "
						   "an age, or a JSON object with one of these for each partition.")));
	return spec;
}

KafkaOffset
KafkaOffsetFor(const KafkaOffsetSpec *spec, int32 partition)
{
	int			lo = 0;
	int			hi = spec->npartitions;

	while (lo < hi)
	{
		int			mid = lo + (hi - lo) / 2;

		if (spec->partitions[mid].partition == partition)
			return spec->partitions[mid].offset;
		if (spec->partitions[mid].partition < partition)
			lo = mid + 1;
		else
			hi = mid;
	}
	return spec->all;
}

/* An age in the largest unit that has no remainder. */
static char *
age_to_string(int64 ms)
{
	if (ms > 0 && ms % (3600 * 1000) == 0)
		return psprintf("@-" INT64_FORMAT "h", ms / (3600 * 1000));
	if (ms > 0 && ms % (60 * 1000) == 0)
		return psprintf("@-" INT64_FORMAT "min", ms / (60 * 1000));
	if (ms % 1000 == 0)
		return psprintf("@-" INT64_FORMAT "s", ms / 1000);
	return psprintf("@-" INT64_FORMAT "ms", ms);
}

char *
KafkaOffsetToString(KafkaOffset offset)
{
	switch (offset.kind)
	{
		case KAFKA_OFFSET_EARLIEST:
			return pstrdup("earliest");
		case KAFKA_OFFSET_NEWEST:
			return pstrdup("newest");
		case KAFKA_OFFSET_SNAPSHOT:
			return pstrdup("snapshot");
		case KAFKA_OFFSET_AT:
			return psprintf(INT64_FORMAT, offset.value);
		case KAFKA_OFFSET_LAST:
			return psprintf("-" INT64_FORMAT, offset.value);
		case KAFKA_OFFSET_TIME:
			return psprintf("@%s", timestamptz_to_str(kafka_ms_to_timestamptz(offset.value)));
		case KAFKA_OFFSET_AGE:
			return age_to_string(offset.value);
	}
	pg_unreachable();
}
