/*
 * property.c
 *		librdkafka's properties: their names, who may set them, what their values are.
 *
 * The table is an allowlist. Setting some properties runs code, opens files or ports, or takes a
 * pointer, and even librdkafka's check of a value is done by setting it. So a name is looked up
 * here first, and one that is missing (as those of newer libraries are) goes no further. The names
 * are all 174 of librdkafka 2.0.2, the hidden ones too; t/001_property_table.pl compares them and
 * their classes with t/data/librdkafka-properties.tsv, in the same order.
 */
#include "postgres.h"

#include "property.h"

/* Short names for the columns of the table. */
#define A KAFKA_CLASS_A
#define B KAFKA_CLASS_B
#define C_FILE KAFKA_CLASS_C_FILE
#define C_SUPER KAFKA_CLASS_C_SUPER
#define D KAFKA_CLASS_D
#define NONE KAFKA_KIND_TEXT
#define TEXT KAFKA_KIND_TEXT
#define WORD KAFKA_KIND_WORD
#define BOOL KAFKA_KIND_BOOL
#define INT KAFKA_KIND_INT
#define TIME KAFKA_KIND_TIME
#define TIMEOUT KAFKA_KIND_TIMEOUT
#define LINGER KAFKA_KIND_LINGER
#define BYTES KAFKA_KIND_BYTES
#define KBYTES KAFKA_KIND_KBYTES

/* name, the property that it is another name of, class, kind, values, topic, dotted_only */
static const KafkaPropertyInfo properties[] = {
	{"acks", "request.required.acks", D, NONE, "all"},
	{"allow.auto.create.topics", NULL, A, BOOL},
	{"api.version.fallback.ms", NULL, D, NONE},
	{"api.version.request", NULL, D, NONE, "true"},
	{"api.version.request.timeout.ms", NULL, A, TIMEOUT},
	{"auto.commit.enable", NULL, D, NONE, "false"},
	{"auto.commit.interval.ms", NULL, D, NONE},
	{"auto.offset.reset", NULL, D, NONE, "error"},
	{"background_event_cb", NULL, D, NONE},
	{"batch.num.messages", NULL, A, INT},
	{"batch.size", NULL, A, BYTES, NULL, false, true},
	{"bootstrap.servers", "metadata.broker.list", A, TEXT},
	{"broker.address.family", NULL, A, WORD, "any, v4 and v6"},
	{"broker.address.ttl", NULL, A, TIME},
	{"broker.version.fallback", NULL, D, NONE},
	{"builtin.features", NULL, D, NONE},
	{"check.crcs", NULL, D, NONE, "true"},
	{"client.id", NULL, A, TEXT},
	{"client.rack", NULL, A, TEXT},
	{"client.software.name", NULL, D, NONE, "kafka_fdw"},
	{"client.software.version", NULL, D, NONE},
	{"closesocket_cb", NULL, D, NONE},
	{"compression.codec", NULL, A, WORD, "none, gzip, snappy, lz4 and zstd", true},
	{"compression.level", NULL, A, INT, NULL, true},
	{"compression.type", "compression.codec", A, WORD, "none, gzip, snappy, lz4 and zstd", true},
	{"connect_cb", NULL, D, NONE},
	{"connections.max.idle.ms", NULL, A, TIME},
	{"consume.callback.max.messages", NULL, D, NONE},
	{"consume_cb", NULL, D, NONE},
	{"coordinator.query.interval.ms", NULL, D, NONE},
	{"debug", NULL, C_SUPER, WORD},
	{"default_topic_conf", NULL, D, NONE},
	{"delivery.report.only.error", NULL, D, NONE},
	{"delivery.timeout.ms", "message.timeout.ms", A, TIMEOUT, NULL, true},
	{"dr_cb", NULL, D, NONE},
	{"dr_msg_cb", NULL, D, NONE},
	{"enable.auto.commit", NULL, D, NONE, "false"},
	{"enable.auto.offset.store", NULL, D, NONE, "false"},
	{"enable.gapless.guarantee", NULL, D, NONE},
	{"enable.idempotence", NULL, D, NONE, "true"},
	{"enable.partition.eof", NULL, D, NONE, "true"},
	{"enable.random.seed", NULL, D, NONE},
	{"enable.sasl.oauthbearer.unsecure.jwt", NULL, C_SUPER, BOOL},
	{"enable.sparse.connections", NULL, D, NONE},
	{"enable.ssl.certificate.verification", NULL, A, BOOL},
	{"enable_sasl_queue", NULL, D, NONE},
	{"enabled_events", NULL, D, NONE},
	{"error_cb", NULL, D, NONE},
	{"fetch.error.backoff.ms", NULL, A, TIME},
	{"fetch.max.bytes", NULL, A, BYTES},
	{"fetch.message.max.bytes", NULL, A, BYTES},
	{"fetch.min.bytes", NULL, A, BYTES},
	{"fetch.wait.max.ms", NULL, A, TIMEOUT},
	{"group.id", NULL, D, NONE},
	{"group.instance.id", NULL, D, NONE},
	{"group.protocol.type", NULL, D, NONE},
	{"heartbeat.interval.ms", NULL, D, NONE},
	{"interceptors", NULL, D, NONE},
	{"internal.termination.signal", NULL, D, NONE},
	{"isolation.level", NULL, A, WORD, NULL, true},
	{"linger.ms", "queue.buffering.max.ms", A, LINGER},
	{"log.connection.close", NULL, D, NONE},
	{"log.queue", NULL, D, NONE, "true"},
	{"log.thread.name", NULL, D, NONE},
	{"log_cb", NULL, D, NONE},
	{"log_level", NULL, D, NONE},
	{"max.in.flight", "max.in.flight.requests.per.connection", D, NONE, "1"},
	{"max.in.flight.requests.per.connection", NULL, D, NONE, "1"},
	{"max.partition.fetch.bytes", "fetch.message.max.bytes", A, BYTES},
	{"max.poll.interval.ms", NULL, D, NONE},
	{"message.copy.max.bytes", NULL, D, NONE},
	{"message.max.bytes", NULL, A, BYTES},
	{"message.send.max.retries", NULL, A, INT},
	{"message.timeout.ms", NULL, A, TIMEOUT, NULL, true},
	{"metadata.broker.list", NULL, A, TEXT},
	{"metadata.max.age.ms", NULL, A, TIME},
	{"metadata.request.timeout.ms", NULL, D, NONE},
	{"msg_order_cmp", NULL, D, NONE},
	{"oauthbearer_token_refresh_cb", NULL, D, NONE},
	{"offset.store.method", NULL, D, NONE},
	{"offset.store.path", NULL, D, NONE},
	{"offset.store.sync.interval.ms", NULL, D, NONE},
	{"offset_commit_cb", NULL, D, NONE},
	{"opaque", NULL, D, NONE},
	{"open_cb", NULL, D, NONE},
	{"partition.assignment.strategy", NULL, D, NONE},
	{"partitioner", NULL, A, WORD,
	"random, consistent, consistent_random, murmur2, murmur2_random, fnv1a and fnv1a_random", true},
	{"partitioner_cb", NULL, D, NONE},
	{"plugin.library.paths", NULL, D, NONE},
	{"produce.offset.report", NULL, D, NONE},
	{"queue.buffering.backpressure.threshold", NULL, D, NONE},
	{"queue.buffering.max.kbytes", NULL, A, KBYTES},
	{"queue.buffering.max.messages", NULL, A, INT},
	{"queue.buffering.max.ms", NULL, A, LINGER},
	{"queued.max.messages.kbytes", NULL, A, KBYTES},
	{"queued.min.messages", NULL, A, INT},
	{"queuing.strategy", NULL, D, NONE},
	{"rebalance_cb", NULL, D, NONE},
	{"receive.message.max.bytes", NULL, A, BYTES},
	{"reconnect.backoff.jitter.ms", NULL, D, NONE},
	{"reconnect.backoff.max.ms", NULL, A, TIME},
	{"reconnect.backoff.ms", NULL, A, TIME},
	{"request.required.acks", NULL, D, NONE, "all"},
	{"request.timeout.ms", NULL, A, TIMEOUT, NULL, true},
	{"resolve_cb", NULL, D, NONE},
	{"retries", "message.send.max.retries", A, INT},
	{"retry.backoff.ms", NULL, A, TIME},
	{"sasl.jaas.config", NULL, D, NONE},
	{"sasl.kerberos.keytab", NULL, D, NONE},
	{"sasl.kerberos.kinit.cmd", NULL, D, NONE},
	{"sasl.kerberos.min.time.before.relogin", NULL, D, NONE, "0"},
	{"sasl.kerberos.principal", NULL, D, NONE},
	{"sasl.kerberos.service.name", NULL, C_SUPER, TEXT},
	{"sasl.mechanism", "sasl.mechanisms", A, TEXT},
	{"sasl.mechanisms", NULL, A, TEXT},
	{"sasl.oauthbearer.client.id", NULL, B, TEXT},
	{"sasl.oauthbearer.client.secret", NULL, B, TEXT},
	{"sasl.oauthbearer.config", NULL, C_SUPER, TEXT},
	{"sasl.oauthbearer.extensions", NULL, A, TEXT},
	{"sasl.oauthbearer.method", NULL, C_SUPER, WORD, "default and oidc"},
	{"sasl.oauthbearer.scope", NULL, A, TEXT},
	{"sasl.oauthbearer.token.endpoint.url", NULL, C_SUPER, TEXT},
	{"sasl.password", NULL, B, TEXT},
	{"sasl.username", NULL, B, TEXT},
	{"security.protocol", NULL, A, WORD, "plaintext, ssl, sasl_plaintext and sasl_ssl"},
	{"session.timeout.ms", NULL, D, NONE},
	{"socket.blocking.max.ms", NULL, D, NONE},
	{"socket.connection.setup.timeout.ms", NULL, A, TIMEOUT},
	{"socket.keepalive.enable", NULL, A, BOOL},
	{"socket.max.fails", NULL, A, INT},
	{"socket.nagle.disable", NULL, A, BOOL},
	{"socket.receive.buffer.bytes", NULL, A, BYTES},
	{"socket.send.buffer.bytes", NULL, A, BYTES},
	{"socket.timeout.ms", NULL, A, TIMEOUT},
	{"socket_cb", NULL, D, NONE},
	{"ssl.ca.certificate.stores", NULL, D, NONE},
	{"ssl.ca.location", NULL, C_FILE, TEXT},
	{"ssl.ca.pem", NULL, A, TEXT},
	{"ssl.certificate.location", NULL, C_FILE, TEXT},
	{"ssl.certificate.pem", NULL, B, TEXT},
	{"ssl.certificate.verify_cb", NULL, D, NONE},
	{"ssl.cipher.suites", NULL, A, TEXT},
	{"ssl.crl.location", NULL, C_FILE, TEXT},
	{"ssl.curves.list", NULL, A, TEXT},
	{"ssl.endpoint.identification.algorithm", NULL, A, WORD, "none and https"},
	{"ssl.engine.id", NULL, D, NONE},
	{"ssl.engine.location", NULL, D, NONE},
	{"ssl.key.location", NULL, C_FILE, TEXT},
	{"ssl.key.password", NULL, B, TEXT},
	{"ssl.key.pem", NULL, B, TEXT},
	{"ssl.keystore.location", NULL, C_FILE, TEXT},
	{"ssl.keystore.password", NULL, B, TEXT},
	{"ssl.providers", NULL, D, NONE},
	{"ssl.sigalgs.list", NULL, A, TEXT},
	{"ssl.truststore.location", NULL, D, NONE},
	{"ssl_ca", NULL, D, NONE},
	{"ssl_certificate", NULL, D, NONE},
	{"ssl_engine_callback_data", NULL, D, NONE},
	{"ssl_key", NULL, D, NONE},
	{"statistics.interval.ms", NULL, D, NONE, "0"},
	{"stats_cb", NULL, D, NONE},
	{"sticky.partitioning.linger.ms", NULL, A, TIME},
	{"test.mock.broker.rtt", NULL, D, NONE},
	{"test.mock.num.brokers", NULL, D, NONE},
	{"throttle_cb", NULL, D, NONE},
	{"topic.blacklist", NULL, D, NONE},
	{"topic.metadata.propagation.max.ms", NULL, A, TIMEOUT},
	{"topic.metadata.refresh.fast.cnt", NULL, D, NONE},
	{"topic.metadata.refresh.fast.interval.ms", NULL, A, TIME},
	{"topic.metadata.refresh.interval.ms", NULL, A, TIME},
	{"topic.metadata.refresh.sparse", NULL, D, NONE},
	{"transaction.timeout.ms", NULL, D, NONE},
	{"transactional.id", NULL, D, NONE},
	{"ut_handle_ProduceResponse", NULL, D, NONE},
};

#undef A
#undef B
#undef C_FILE
#undef C_SUPER
#undef D
#undef NONE
#undef TEXT
#undef WORD
#undef BOOL
#undef INT
#undef TIME
#undef TIMEOUT
#undef LINGER
#undef BYTES
#undef KBYTES

/*
 * True where a name is the entry's own, with dots or with underscores throughout. Some names have
 * an underscore of their own, which nothing else stands for.
 */
static bool
is_spelling_of(const char *name, const KafkaPropertyInfo *info)
{
	bool		dots = false;
	bool		underscores = false;
	const char *c = info->name;

	for (; *c != '\0' && *name != '\0'; c++, name++)
	{
		if (*c == '.' && *name == '_')
			underscores = true;
		else if (*c != *name)
			return false;
		else if (*c == '.')
			dots = true;
	}
	return *c == *name && !(underscores && (dots || info->dotted_only));
}

const KafkaPropertyInfo *
KafkaPropertyFind(const char *name, const KafkaPropertyInfo **canonical)
{
	const KafkaPropertyInfo *found = NULL;

	for (int i = 0; i < lengthof(properties) && found == NULL; i++)
	{
		if (is_spelling_of(name, &properties[i]))
			found = &properties[i];
	}
	if (canonical != NULL)
	{
		*canonical = found;
		if (found != NULL && found->alias_of != NULL)
			(void) KafkaPropertyFind(found->alias_of, canonical);
	}
	return found;
}

const KafkaPropertyInfo *
KafkaPropertyTable(int *count)
{
	*count = lengthof(properties);
	return properties;
}
