/*
 * admin_config.c
 *		The settings of a topic: shown with where they come from, and changed.
 *
 * Kafka can change single settings since 2.3, librdkafka since 2.2. With an older library a change
 * replaces all that was ever set for the topic. There the settings are looked at first and all of
 * them written back; what somebody else has set in between is lost, which no look at the result can
 * show. What the look can show, that a setting is not as it was left, is warned of.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "admin_compat.h"
#include "admin_private.h"

/* A setting as the cluster has it, in UTF-8. */
typedef struct TopicSetting
{
	char	   *name;
	char	   *value;			/* NULL: the cluster does not tell, or it has none */
	bool		own;			/* it was set for the topic itself */
} TopicSetting;

static const AdminFunction topic_config = {
	"kafka_topic_config()", ADMIN_TOPIC, 1, false,
	"could not look up the configuration of topic \"%s\" on Kafka server \"%s\""
};

static const AdminFunction set_topic_config = {
	"kafka_set_topic_config()", ADMIN_TOPIC, 2, true,
	"could not change the configuration of topic \"%s\" on Kafka server \"%s\""
};

PG_FUNCTION_INFO_V1(kafka_topic_config);
PG_FUNCTION_INFO_V1(kafka_set_topic_config);

/* The value of a setting in jsonb. */
static char *
setting_value(const JsonbValue *item, const char *name, bool resets)
{
	switch (item->type)
	{
		case jbvString:
			return kafka_admin_utf8(item->val.string.val, item->val.string.len);
		case jbvBool:
			return pstrdup(item->val.boolean ? "true" : "false");
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(item->val.numeric)));
		case jbvNull:
			if (resets)
				return NULL;
			/* FALLTHROUGH */
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value of topic setting \"%s\"", name),
					 errdetail("A setting is a string, a number or a boolean."),
					 resets ? errhint("A setting that is null becomes the default again.")
					 : errhint("Leave a setting out to have the broker's default.")));
	}
}

List *
kafka_admin_settings(Jsonb *config, bool resets)
{
	List	   *result = NIL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;
	AdminSetting *setting = NULL;

	if (!JB_ROOT_IS_OBJECT(config))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a topic's configuration must be a JSON object")));
	it = JsonbIteratorInit(&config->root);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			setting = palloc(sizeof(AdminSetting));
			setting->name = kafka_admin_utf8(item.val.string.val, item.val.string.len);
		}
		else if (token == WJB_VALUE)
		{
			setting->value = setting_value(&item, setting->name, resets);
			result = lappend(result, setting);
		}
	}
	return result;
}

/* Send a request for the topic's settings. */
static void
send_describe(AdminCall *call)
{
	rd_kafka_ConfigResource_t *resource;

	resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, call->object);
	rd_kafka_DescribeConfigs(call->handle->rk, &resource, 1, call->options, call->queue);
	rd_kafka_ConfigResource_destroy(resource);
}

/* The settings in an answer, or what went wrong, with librdkafka's words. */
static rd_kafka_resp_err_t
read_answer(rd_kafka_event_t *event, const rd_kafka_ConfigEntry_t * **entries, size_t *nentries,
			const char **errstr)
{
	const		rd_kafka_ConfigResource_t **resources;
	size_t		n;

	*entries = NULL;
	*nentries = 0;
	*errstr = rd_kafka_event_error_string(event);
	if (rd_kafka_event_error(event))
		return rd_kafka_event_error(event);
	resources = rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event),
														  &n);
	if (n != 1)
		elog(ERROR, "%zu results came for one topic", n);
	*errstr = rd_kafka_ConfigResource_error_string(resources[0]);
	*entries = rd_kafka_ConfigResource_configs(resources[0], nentries);
	return rd_kafka_ConfigResource_error(resources[0]);
}

/* The topic's settings as they are now, good until the next request. */
static const rd_kafka_ConfigEntry_t **
describe(AdminCall *call, size_t *nentries)
{
	const		rd_kafka_ConfigEntry_t **entries;
	const char *errstr;
	rd_kafka_resp_err_t err;

	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, 0);
	send_describe(call);
	kafka_admin_await(call, 1);
	err = read_answer(call->events[0], &entries, nentries, &errstr);
	if (err)
		kafka_admin_report(call, err, errstr);
	return entries;
}

void
kafka_admin_ask_all_brokers(AdminCall *call)
{
	int			nbrokers = call->metadata->broker_cnt;

	kafka_admin_prepare(call, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS,
						Min(KafkaConnectionSlice(&call->deadline), ADMIN_SETTLE_MS));
	for (int i = 0; i < nbrokers; i++)
	{
		kafka_admin_to_broker(call, call->metadata->brokers[i].id);
		send_describe(call);
	}
	kafka_admin_await(call, nbrokers);
}

static int
compare_entries(const void *a, const void *b)
{
	return strcmp(rd_kafka_ConfigEntry_name(*(const rd_kafka_ConfigEntry_t * const *) a),
				  rd_kafka_ConfigEntry_name(*(const rd_kafka_ConfigEntry_t * const *) b));
}

/* All settings of a topic, by name. */
Datum
kafka_topic_config(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &topic_config);
	const		rd_kafka_ConfigEntry_t **entries;
	const		rd_kafka_ConfigEntry_t **sorted;
	size_t		n;

	kafka_admin_open(call, call->server->read_committed);
	entries = describe(call, &n);
	sorted = MemoryContextAlloc(call->cxt, (n + 1) * sizeof(*sorted));
	if (n > 0)
		memcpy(sorted, entries, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_entries);
	for (size_t i = 0; i < n; i++)
	{
		const		rd_kafka_ConfigEntry_t *entry = sorted[i];
		rd_kafka_ConfigSource_t source = rd_kafka_ConfigEntry_source(entry);
		bool		sensitive = rd_kafka_ConfigEntry_is_sensitive(entry) > 0;
		Datum		values[6];
		bool		nulls[6] = {false};

		values[0] = kafka_admin_text(call, rd_kafka_ConfigEntry_name(entry), &nulls[0]);
		values[1] = kafka_admin_text(call, sensitive ? NULL : rd_kafka_ConfigEntry_value(entry),
									 &nulls[1]);
		values[2] = kafka_admin_text(call, rd_kafka_ConfigSource_name(source), &nulls[2]);
		values[3] = BoolGetDatum(rd_kafka_ConfigEntry_is_default(entry) > 0);
		values[4] = BoolGetDatum(rd_kafka_ConfigEntry_is_read_only(entry) > 0);
		values[5] = BoolGetDatum(sensitive);
		kafka_admin_row(call, values, nulls);
	}
	kafka_admin_end(call);
	return (Datum) 0;
}

/* Settings of an answer as a List of TopicSetting *, in the current context. */
static List *
copy_settings(const rd_kafka_ConfigEntry_t * *entries, size_t n)
{
	List	   *result = NIL;

	for (size_t i = 0; i < n; i++)
	{
		TopicSetting *setting = palloc(sizeof(TopicSetting));
		const char *value = rd_kafka_ConfigEntry_is_sensitive(entries[i]) > 0 ? NULL
			: rd_kafka_ConfigEntry_value(entries[i]);

		setting->name = pstrdup(rd_kafka_ConfigEntry_name(entries[i]));
		setting->value = value ? pstrdup(value) : NULL;
		setting->own = rd_kafka_ConfigEntry_source(entries[i]) ==
			RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
		result = lappend(result, setting);
	}
	return result;
}

/* The setting of this name that is to be changed, or NULL. */
static const AdminSetting *
find_change(List *changes, const char *name)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		const AdminSetting *change = (const AdminSetting *) lfirst(lc);

		if (strcmp(change->name, name) == 0)
			return change;
	}
	return NULL;
}

/* The setting of this name that the topic has, or NULL. */
static const TopicSetting *
find_setting(List *settings, const char *name)
{
	ListCell   *lc;

	foreach(lc, settings)
	{
		const TopicSetting *setting = (const TopicSetting *) lfirst(lc);

		if (strcmp(setting->name, name) == 0)
			return setting;
	}
	return NULL;
}

/*
 * True where the cluster shows a value that was set, in its own spelling: it drops space from lists
 * and zeros from numbers.
 */
static bool
same_value(const char *shown, const char *set)
{
	const char *a = shown;
	const char *b = set;
	char	   *end_a;
	char	   *end_b;
	double		x = strtod(shown, &end_a);
	double		y = strtod(set, &end_b);

	if (end_a != shown && *end_a == '\0' && end_b != set && end_b[strspn(end_b, " ")] == '\0')
		return x == y;
	for (;;)
	{
		a += strspn(a, " ");
		b += strspn(b, " ");
		if (*a == '\0' || pg_ascii_tolower((unsigned char) *a) != pg_ascii_tolower((unsigned char) *b))
			return *a == *b;
		a++;
		b++;
	}
}

/* ERROR where a setting does not exist: nobody else would say so of one that is reset. */
static void
check_names(AdminCall *call, List *changes, List *before)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		const AdminSetting *change = (const AdminSetting *) lfirst(lc);

		if (find_setting(before, change->name) == NULL)
			kafka_admin_report(call, RD_KAFKA_RESP_ERR_INVALID_CONFIG,
							   psprintf("Unknown topic config name: %s", change->name));
	}
}

/* ERROR where all settings are to be written, and the value of one that stays is not known. */
static void
check_replacement(AdminCall *call, List *changes, List *before)
{
	ListCell   *lc;

	foreach(lc, before)
	{
		const TopicSetting *setting = (const TopicSetting *) lfirst(lc);

		if (setting->own && setting->value == NULL && find_change(changes, setting->name) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg_internal("%s", call->failure),
					 errdetail("librdkafka %s changes all settings at once, and the value of \"%s\" "
							   "is not known.", rd_kafka_version_str(), setting->name)));
	}
}

/* What is to be written, as librdkafka wants it; NULL with the name that it does not take. */
static rd_kafka_ConfigResource_t *
make_resource(AdminCall *call, List *changes, List *before, const char **refused)
{
	bool		incrementally = kafka_can_alter_incrementally();
	rd_kafka_ConfigResource_t *resource =
		rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, call->object);
	ListCell   *lc;

	*refused = NULL;
	foreach(lc, changes)
	{
		const AdminSetting *change = (const AdminSetting *) lfirst(lc);
		bool		taken = true;

		if (incrementally)
			taken = kafka_add_incrementally(resource, change->name, change->value);
		else if (change->value)
			taken = rd_kafka_ConfigResource_set_config(resource, change->name, change->value) ==
				RD_KAFKA_RESP_ERR_NO_ERROR;
		if (!taken)
			*refused = change->name;
	}
	foreach(lc, before)
	{
		const TopicSetting *kept = (const TopicSetting *) lfirst(lc);

		if (!incrementally && kept->own && find_change(changes, kept->name) == NULL)
			(void) rd_kafka_ConfigResource_set_config(resource, kept->name, kept->value);
	}
	if (*refused == NULL)
		return resource;
	rd_kafka_ConfigResource_destroy(resource);
	return NULL;
}

/* Send the change and wait for its answer. */
static void
alter(AdminCall *call, List *changes, List *before)
{
	bool		incrementally = kafka_can_alter_incrementally();
	rd_kafka_ConfigResource_t *resource;
	const		rd_kafka_ConfigResource_t **results;
	const char *refused;
	size_t		n;

	check_names(call, changes, before);
	if (!incrementally)
		check_replacement(call, changes, before);
	kafka_admin_prepare(call, incrementally ? ALTER_INCREMENTALLY_OP
						: RD_KAFKA_ADMIN_OP_ALTERCONFIGS, 0);
	/* Nothing throws while "resource" is held. */
	resource = make_resource(call, changes, before, &refused);
	if (resource == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid topic setting \"%s\"", refused)));
	if (incrementally)
		kafka_alter_incrementally(call->handle->rk, resource, call->options, call->queue);
	else
		rd_kafka_AlterConfigs(call->handle->rk, &resource, 1, call->options, call->queue);
	rd_kafka_ConfigResource_destroy(resource);

	results = kafka_altered_resources(kafka_admin_answer(call), &n);
	if (n != 1)
		elog(ERROR, "%zu results came for one topic", n);
	if (rd_kafka_ConfigResource_error(results[0]))
		kafka_admin_report(call, rd_kafka_ConfigResource_error(results[0]),
						   rd_kafka_ConfigResource_error_string(results[0]));
}

/* True where the topic's settings are as they were to become. */
static bool
shows_changes(List *now, List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		const AdminSetting *change = (const AdminSetting *) lfirst(lc);
		const TopicSetting *setting = find_setting(now, change->name);
		bool		own = setting && setting->own;

		if (own != (change->value != NULL) ||
			(own && setting->value && !same_value(setting->value, change->value)))
			return false;
	}
	return true;
}

/* WARNING where a setting that was to stay as it was has not. */
static void
check_others(AdminCall *call, List *changes, List *before, List *now)
{
	ListCell   *lc;

	foreach(lc, now)
	{
		const TopicSetting *is = (const TopicSetting *) lfirst(lc);
		const TopicSetting *was = find_setting(before, is->name);

		if (was == NULL || find_change(changes, is->name) ||
			(is->own == was->own && (!is->own || strcmp(is->value, was->value) == 0)))
			continue;
		ereport(WARNING,
				(errmsg("the configuration of topic \"%s\" was changed by somebody else at the same "
						"time", call->object),
				 errdetail("Setting \"%s\" is not as it was before.", is->name),
				 errhint("Look at the topic's configuration, and set again what is missing.")));
	}
}

/*
 * How many brokers answer and do not show the changes. One that shows them gives *now, the settings as they
 * are, in the call's attempt context; otherwise it is left alone.
 */
static int
count_behind(AdminCall *call, List *changes, List **now)
{
	MemoryContext old = MemoryContextSwitchTo(call->attempt_cxt);
	int			behind = 0;

	for (int i = 0; i < call->nevents; i++)
	{
		const		rd_kafka_ConfigEntry_t **entries;
		size_t		n;
		const char *errstr;
		rd_kafka_resp_err_t err = read_answer(call->events[i], &entries, &n, &errstr);
		List	   *settings = copy_settings(entries, n);

		if (err == RD_KAFKA_RESP_ERR_NO_ERROR && shows_changes(settings, changes))
			*now = settings;
		else if (rd_kafka_event_error(call->events[i]) == RD_KAFKA_RESP_ERR_NO_ERROR)
			behind++;
	}
	MemoryContextSwitchTo(old);
	return behind;
}

/*
 * Wait until brokers show the change, which has been made: if that takes too long it is a warning.
 */
static void
await_changes(AdminCall *call, List *changes, List *before)
{
	List	   *now = NIL;
	TimestampTz seen = 0;		/* when the first broker showed it */

	for (;;)
	{
		int			behind = 0;
		int			left;

		MemoryContextReset(call->attempt_cxt);
		now = NIL;
		if (kafka_admin_look(call, ADMIN_NO_TOPIC) == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			kafka_admin_ask_all_brokers(call);
			behind = count_behind(call, changes, &now);
		}
		if (now != NIL && seen == 0)
			seen = GetCurrentTimestamp();
		left = kafka_admin_time_left(call);
		if (now != NIL && (behind == 0 || left <= 0 ||
						   TimestampDifferenceExceeds(seen, GetCurrentTimestamp(),
													  ADMIN_SETTLE_MS)))
			break;
		if (left <= 0)
		{
			kafka_admin_warn_unseen(call);
			return;
		}
		(void) KafkaConnectionWait(call->handle, Min(left, ADMIN_LOOK_INTERVAL_MS));
	}
	if (!kafka_can_alter_incrementally())
		check_others(call, changes, before, now);
}

/* Change settings; what is not named stays as it is. */
Datum
kafka_set_topic_config(PG_FUNCTION_ARGS)
{
	AdminCall  *call = kafka_admin_begin(fcinfo, &set_topic_config);
	List	   *changes;
	List	   *before;
	const		rd_kafka_ConfigEntry_t **entries;
	size_t		n;
	MemoryContext old;

	kafka_admin_require(fcinfo, &set_topic_config, 1, "config");
	old = MemoryContextSwitchTo(call->cxt);
	changes = kafka_admin_settings(PG_GETARG_JSONB_P(1), true);
	kafka_admin_open(call, call->server->read_committed);
	entries = describe(call, &n);
	before = copy_settings(entries, n);
	MemoryContextSwitchTo(old);
	if (changes != NIL)
	{
		alter(call, changes, before);
		await_changes(call, changes, before);
	}
	kafka_admin_end(call);
	PG_RETURN_VOID();
}
