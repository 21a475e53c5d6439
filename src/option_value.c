/*
 * option_value.c
 *		The values of options: from text to what is meant, or an error that says what is accepted.
 *
 * Values are parsed twice, at CREATE or ALTER, to refuse them there, and at use. What both have to
 * agree on is therefore here, and what only the moment of creation can decide (rights, librdkafka's
 * own opinion) in option_validator.c.
 */
#include "postgres.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "option_private.h"
#include "setting.h"

#define MAX_TOPIC_NAME 249		/* Kafka's own limit */

void
kafka_value_error(const KafkaOption *option, const char *detail, const char *hint)
{
	bool		secret = option->property && option->property->class == KAFKA_CLASS_B;

	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 secret ? errmsg("invalid value for option \"%s\"", option->name)
			 : errmsg("invalid value for option \"%s\": \"%s\"", option->name, option->value),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
}

bool
kafka_value_bool(const KafkaOption *option)
{
	bool		result;

	if (!parse_bool(option->value, &result))
		kafka_value_error(option, NULL, "Valid values are true and false.");
	return result;
}

/* An integer in the unit of a GUC's flags, 0 for none. */
static int
parse_integer(const KafkaOption *option, int flags, int min, int max)
{
	int			result;
	const char *hint = NULL;

	if (!parse_int(option->value, &result, flags, &hint))
		kafka_value_error(option, NULL, hint ? hint : "An integer is expected.");
	if (result < min || result > max)
		kafka_value_error(option, psprintf("The valid range is %d to %d%s.", min, max,
										   flags == GUC_UNIT_MS ? " ms" : ""), NULL);
	return result;
}

int
kafka_value_int(const KafkaOption *option, int min, int max)
{
	return parse_integer(option, 0, min, max);
}

int
kafka_value_time(const KafkaOption *option, int min, int max)
{
	return parse_integer(option, GUC_UNIT_MS, min, max);
}

int
kafka_value_word(const KafkaOption *option, const char *const *words)
{
	StringInfoData hint;

	for (int i = 0; words[i] != NULL; i++)
	{
		if (pg_strcasecmp(option->value, words[i]) == 0)
			return i;
	}

	initStringInfo(&hint);
	for (int i = 0; words[i] != NULL; i++)
		appendStringInfo(&hint, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " and ",
						 words[i]);
	kafka_value_error(option, NULL, words[1] == NULL
					  ? psprintf("The only valid value is %s.", hint.data)
					  : psprintf("Valid values are %s.", hint.data));
}

/* ------------------------------------------------------------------------
 * Lists
 * ------------------------------------------------------------------------ */

/* A copy without the space around it. */
static char *
trim(const char *text, size_t len)
{
	while (len > 0 && isspace((unsigned char) text[0]))
	{
		text++;
		len--;
	}
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	return pnstrdup(text, len);
}

/* The elements of a list, separated by commas, without the space around them. */
static List *
split_list(const char *text)
{
	List	   *list = NIL;

	for (;;)
	{
		size_t		len = strcspn(text, ",");

		list = lappend(list, trim(text, len));
		if (text[len] == '\0')
			return list;
		text += len + 1;
	}
}

/* The letters that the names of topics are made of. */
#define TOPIC_CHARS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

const char *
kafka_topic_name_problem(const char *topic)
{
	size_t		len = strlen(topic);

	if (len == 0)
		return "A topic's name cannot be empty.";
	if (len > MAX_TOPIC_NAME)
		return "A topic's name has at most 249 characters.";
	if (strcmp(topic, ".") == 0 || strcmp(topic, "..") == 0)
		return "A topic's name cannot be \".\" or \"..\".";
	if (topic[strspn(topic, TOPIC_CHARS)] != '\0')
		return "A topic's name consists of ASCII letters, digits, \".\", \"_\" and \"-\".";
	return NULL;
}

List *
kafka_value_patterns(const KafkaOption *option)
{
	List	   *patterns = split_list(option->value);
	ListCell   *lc;

	foreach(lc, patterns)
	{
		const char *pattern = lfirst(lc);

		if (pattern[0] == '\0' || pattern[strspn(pattern, TOPIC_CHARS "*?")] != '\0')
			kafka_value_error(option,
							  "A list of names of topics is expected, separated by commas, in which "
							  "* stands for any letters and ? for any one.", NULL);
	}
	return patterns;
}

/* True for host, host:port, [address]:port, an address with colons, or one of these as a URL. */
static bool
is_broker(const char *broker)
{
	const char *scheme = strstr(broker, "://");
	const char *host = scheme ? scheme + 3 : broker;
	const char *colon = strrchr(host, ':');
	const char *c;
	bool		has_port = colon && (strchr(host, ':') == colon || colon[-1] == ']');

	for (c = broker; *c != '\0'; c++)
	{
		if (isspace((unsigned char) *c) || iscntrl((unsigned char) *c))
			return false;
	}
	if (scheme == broker || *host == '\0' || colon == host)
		return false;
	if (has_port)
	{
		size_t		ndigits = strspn(colon + 1, "0123456789");
		int			port = ndigits > 0 && ndigits <= 5 ? atoi(colon + 1) : 0;

		return colon[1 + ndigits] == '\0' && port > 0 && port <= 65535;
	}
	return true;
}

/* A list of brokers as librdkafka reads it: it takes a space for a part of the name. */
static char *
broker_list(const KafkaOption *option)
{
	StringInfoData result;
	ListCell   *lc;

	initStringInfo(&result);
	foreach(lc, split_list(option->value))
	{
		const char *broker = lfirst(lc);

		if (!is_broker(broker))
			kafka_value_error(option, NULL,
							  "A list of host:port is expected, separated by commas.");
		appendStringInfo(&result, "%s%s", result.len > 0 ? "," : "", broker);
	}
	return result.data;
}

/* ------------------------------------------------------------------------
 * Properties of librdkafka
 * ------------------------------------------------------------------------ */

/*
 * A number that a superuser's setting limits: more than that is an error when an object is created,
 * and comes to the limit where the setting was lowered later.
 */
static double
cap(const KafkaOption *option, double value, double limit, const char *setting)
{
	if (value <= limit)
		return value;
	if (option->creating)
		kafka_value_error(option, psprintf("The setting \"%s\" does not allow more than %s.", setting,
										   GetConfigOptionByName(setting, NULL, false)), NULL);
	return limit;
}

int
kafka_value_timeout(const KafkaOption *option, int min)
{
	int			ms = kafka_value_time(option, min, INT_MAX);

	return (int) cap(option, ms, kafka_max_timeout, "kafka_fdw.max_timeout");
}

/*
 * How long messages are gathered. librdkafka wants it to be less than the time that a message has in
 * all, which may have been cut to the limit.
 */
static char *
linger(const KafkaOption *option)
{
	double		limit = option->creating ? kafka_max_timeout : kafka_max_timeout - 1;
	double		value;
	const char *hint = NULL;

	if (!parse_real(option->value, &value, GUC_UNIT_MS, &hint) || isinf(value))
		kafka_value_error(option, NULL, hint ? hint : "A number is expected.");
	return psprintf("%.15g", cap(option, value, limit, "kafka_fdw.max_timeout"));
}

/*
 * A size in bytes, or with unit 1024 in kilobytes. A response is 512 bytes larger than the messages
 * that were fetched with it, which may have been cut to the limit.
 */
static char *
buffer_size(const KafkaOption *option, int flags, int unit)
{
	int			size = parse_integer(option, flags, INT_MIN, INT_MAX);
	double		limit = floor(kafka_max_buffer_size * 1024.0 / unit);

	if (strcmp(option->property->name, "receive.message.max.bytes") == 0)
		limit += 512;
	return psprintf("%d", (int) cap(option, size, limit, "kafka_fdw.max_buffer_size"));
}

/*
 * Text in the encoding that Kafka's protocol has. librdkafka drops space at the beginning of a value,
 * which matters to passwords (and not to PEM, which has none that counts).
 */
static char *
utf8_text(const KafkaOption *option)
{
	const char *value = option->value;

	if (option->property->class == KAFKA_CLASS_B && isspace((unsigned char) value[0]) &&
		strstr(option->property->name, ".pem") == NULL)
		kafka_value_error(option, "librdkafka cannot take a value that begins with a space.", NULL);

	/* Of an unknown encoding; and a check's error would show a part of a secret. */
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		return pstrdup(value);
	return pstrdup(pg_server_to_any(value, strlen(value), PG_UTF8));
}

/* A word, or several, as librdkafka writes them, so that they can be compared. */
static char *
trimmed_word(const KafkaOption *option)
{
	char	   *result = trim(option->value, strlen(option->value));

	for (char *c = result; *c != '\0'; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return result;
}

/*
 * librdkafka would take any SCRAM variant, and learn too late that there is none of the name; it
 * reads these words in capitals only.
 */
static char *
sasl_mechanism(const KafkaOption *option)
{
	static const char *const mechanisms[] = {
		"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER", NULL
	};

	return pstrdup(mechanisms[kafka_value_word(option, mechanisms)]);
}

char *
kafka_value_property(const KafkaOption *option)
{
	const KafkaPropertyInfo *property = option->property;

	/* An empty value would be passed over in silence, or name an empty file. */
	if (property->class != KAFKA_CLASS_B && option->value[strspn(option->value, " \t\r\n")] == '\0')
		kafka_value_error(option, "The value is empty.", NULL);

	if (strcmp(property->name, "metadata.broker.list") == 0)
		return broker_list(option);
	if (strcmp(property->name, "sasl.mechanisms") == 0)
		return sasl_mechanism(option);

	switch (property->kind)
	{
		case KAFKA_KIND_TEXT:
			return utf8_text(option);
		case KAFKA_KIND_WORD:
			return trimmed_word(option);
		case KAFKA_KIND_BOOL:
			return pstrdup(kafka_value_bool(option) ? "true" : "false");
		case KAFKA_KIND_INT:
			return psprintf("%d", kafka_value_int(option, INT_MIN, INT_MAX));
		case KAFKA_KIND_TIME:
			return psprintf("%d", kafka_value_time(option, INT_MIN, INT_MAX));
		case KAFKA_KIND_TIMEOUT:
			return psprintf("%d", kafka_value_timeout(option, INT_MIN));
		case KAFKA_KIND_LINGER:
			return linger(option);
		case KAFKA_KIND_BYTES:
			return buffer_size(option, GUC_UNIT_BYTE, 1);
		case KAFKA_KIND_KBYTES:
			return buffer_size(option, GUC_UNIT_KB, 1024);
	}
	pg_unreachable();
}
