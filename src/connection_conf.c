/*
 * connection_conf.c
 *		What a librdkafka handle is set up with: our defaults, then the user's properties, then what
 *		is fixed.
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "connection.h"
#include "connection_private.h"
#include "property.h"

/* When a property is set: before the user's own, which override it, or after, as a fixed one. */
typedef struct HandleProperty
{
	const char *name;
	const char *value;
} HandleProperty;

/* From this version on librdkafka does not forget at once a topic that it has known. */
#define TOPICS_KEPT_SINCE 0x020a0000

/* Better defaults than librdkafka's for a backend that somebody waits for. */
static const HandleProperty default_properties[] = {
	{"socket.nagle.disable", "true"},
	{"reconnect.backoff.ms", "50"},
	{"reconnect.backoff.max.ms", "1000"},	/* a broker that is back is found within a second */
	{NULL, NULL}
};

/* The same for every handle, whatever its server says. */
static const HandleProperty fixed_properties[] = {
	{"client.software.name", "kafka_fdw"},
	{"client.software.version", "1.0"},
	{"api.version.request", "true"},
	{"log.queue", "true"},
	{"statistics.interval.ms", "0"},
	{NULL, NULL}
};

static const HandleProperty consumer_defaults[] = {
	{"fetch.wait.max.ms", "1"}, /* a poll at the end would hold up the handle's next scan */
	{"fetch.error.backoff.ms", "50"},
	{"queued.max.messages.kbytes", "16384"},	/* bounds what a scan prefetches */
	{NULL, NULL}
};

/* Nothing is fetched ahead unasked: a scan of a few messages would leave a fetch under way behind it. */
static const HandleProperty small_defaults[] = {
	{"fetch.message.max.bytes", "65536"},
	{"queued.min.messages", "1"},
	{NULL, NULL}
};

static const HandleProperty bulk_defaults[] = {
	{"fetch.message.max.bytes", "262144"},
	{"queued.min.messages", "5000"},
	{NULL, NULL}
};

static const HandleProperty tail_defaults[] = {
	{"fetch.message.max.bytes", "262144"},
	{"queued.min.messages", "5000"},
	{"fetch.wait.max.ms", "500"},	/* nothing comes after it, and an idle tail should idle */
	{NULL, NULL}
};

/* While one batch of a subscription is stored, another one gathers. */
static const HandleProperty ahead_defaults[] = {
	{"fetch.message.max.bytes", "262144"},
	{"queued.min.messages", "20000"},
	{"fetch.wait.max.ms", "500"},
	{NULL, NULL}
};

static const HandleProperty consumer_fixed[] = {
	{"enable.partition.eof", "true"},
	{"auto.offset.reset", "error"}, /* never skip what retention deleted in silence */
	{"check.crcs", "true"},
	{"enable.auto.commit", "false"},
	{"enable.auto.offset.store", "false"},
	{"allow.auto.create.topics", "false"},
	{NULL, NULL}
};

static const HandleProperty producer_defaults[] = {
	{"queue.buffering.max.ms", "0"},
	{"partitioner", "murmur2_random"},
	{NULL, NULL}
};

/*
 * One request at a time for each broker. With more, a batch that a new leader refuses ("not leader")
 * can be followed by one that it stores: a broker that knows nothing of a producer takes whatever
 * sequence comes first. librdkafka then reports the refused batch as delivered, and it is lost.
 */
static const HandleProperty producer_fixed[] = {
	{"request.required.acks", "all"},
	{"enable.idempotence", "true"},
	{"max.in.flight.requests.per.connection", "1"},
	{NULL, NULL}
};

/*
 * How long a producer that died holds back the readers of its topics; a message's time may not be
 * longer.
 */
static const HandleProperty transaction_fixed[] = {
	{"transaction.timeout.ms", KAFKA_TRANSACTION_TIMEOUT_MS},
	{NULL, NULL}
};

/* "pg-<cluster_name>-<database>", by which the broker's operator finds us. */
static char *
default_client_id(void)
{
	const char *cluster = GetConfigOption("cluster_name", true, false);
	char	   *database = OidIsValid(MyDatabaseId) ? get_database_name(MyDatabaseId) : NULL;

	return psprintf("pg%s%s-%s", cluster && cluster[0] ? "-" : "", cluster ? cluster : "",
					database ? database : "");
}

/*
 * Set one property. The value may be a secret and is not repeated in the error; librdkafka's own
 * text is only passed on where it cannot hold one.
 */
static void
set_property(rd_kafka_conf_t *conf, const KafkaServer *server, const char *name,
			 const char *value)
{
	char		errstr[512];
	const KafkaPropertyInfo *info;

	if (rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr)) == RD_KAFKA_CONF_OK)
		return;
	info = KafkaPropertyFind(name, NULL);
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 errmsg("could not set librdkafka property \"%s\" for server \"%s\"", name,
					server->name),
			 info && info->class != KAFKA_CLASS_B ? errdetail_internal("%s", errstr) : 0));
}

static void
set_properties(rd_kafka_conf_t *conf, const KafkaServer *server, const HandleProperty *list)
{
	for (; list->name; list++)
		set_property(conf, server, list->name, list->value);
}

/*
 * The user's properties are looked up once more in our table: a catalogue written by another version
 * of this extension may hold what this one does not allow.
 */
void
kafka_fill_conf(rd_kafka_conf_t *conf, const KafkaServer *server, KafkaHandleKind kind)
{
	bool		producer = kind == KAFKA_HANDLE_PRODUCER;
	char	   *client_id = default_client_id();
	ListCell   *lc;

	set_properties(conf, server, default_properties);
	set_property(conf, server, "client.id", client_id);
	pfree(client_id);
	set_properties(conf, server, producer ? producer_defaults : consumer_defaults);
	/* From 2.2 on, a full queue is looked at again so soon; before, see consumer_wait.c. */
	if (!producer)
		(void) rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "1", NULL, 0);
	if (kind == KAFKA_HANDLE_SMALL)
		set_properties(conf, server, small_defaults);
	else if (kind == KAFKA_HANDLE_BULK)
		set_properties(conf, server, bulk_defaults);
	else if (kind == KAFKA_HANDLE_TAIL)
		set_properties(conf, server, tail_defaults);
	else if (kind == KAFKA_HANDLE_AHEAD)
		set_properties(conf, server, ahead_defaults);

	/*
	 * From 2.10 on a topic that a producer has just known may be away for so long, which would be
	 * the whole time of a message that is sent to one that was deleted.
	 */
	if (producer && rd_kafka_version() >= TOPICS_KEPT_SINCE)
		set_property(conf, server, "topic.metadata.propagation.max.ms", "5000");
	if (producer)
		set_property(conf, server, "message.timeout.ms", psprintf("%d", server->message_timeout));

	foreach(lc, server->properties)
	{
		KafkaProperty *property = (KafkaProperty *) lfirst(lc);
		const KafkaPropertyInfo *info = KafkaPropertyFind(property->name, NULL);

		if (info == NULL || info->class == KAFKA_CLASS_D)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("option \"%s\" of server \"%s\" is not allowed", property->name,
							server->name)));
		if (strcmp(property->name, "sasl.oauthbearer.config") == 0)
			set_property(conf, server, property->name,
						 kafka_token_config(server, property->value));
		else
			set_property(conf, server, property->name, property->value);
	}

	set_properties(conf, server, fixed_properties);
	/* Or kinit would be run, by way of the shell. A library without Kerberos has no such thing. */
	(void) rd_kafka_conf_set(conf, "sasl.kerberos.min.time.before.relogin", "0", NULL, 0);
	set_properties(conf, server, producer ? producer_fixed : consumer_fixed);
	if (producer && server->transactional_id)
	{
		set_property(conf, server, "transactional.id", server->transactional_id);
		set_properties(conf, server, transaction_fixed);
	}
	if (!producer)
		set_property(conf, server, "isolation.level",
					 server->read_committed ? "read_committed" : "read_uncommitted");
	else
		set_property(conf, server, "allow.auto.create.topics",
					 server->auto_create_topics ? "true" : "false");
	/* A library without TLS has no such thing, either. */
	(void) rd_kafka_conf_set_ssl_cert_verify_cb(conf, kafka_verify_certificate);
	rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_ERROR |
							 (producer ? RD_KAFKA_EVENT_DR : 0));
}
