/*
 * producer.c
 *		Sends messages and accounts for their acknowledgements.
 *
 * Each message carries a number: its sender's serial and its own place in it. The delivery report
 * brings the number back, never a pointer, so that a report which outlives its statement can do no
 * harm. A message is stored, not stored, or may be stored, by what librdkafka knows
 * (rd_kafka_message_status); a message without a report may be stored.
 *
 * A sender that is broken off (an ERROR, a cancel) purges what is under way, and its handle is not
 * used again. librdkafka would keep the idempotent sequence right by draining the connection first,
 * which with a broker that does not answer takes as long as the request's timeout; a new producer
 * works as soon as the broker does. It also guarantees that nothing is sent later.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "consumer.h"
#include "producer_private.h"

#define MAX_PENDING_MESSAGES 50000
#define MAX_PENDING_BYTES (16 * 1024 * 1024)
#define MESSAGE_OVERHEAD 256	/* librdkafka's memory for a message beside its key and value */
#define SERVE_EVERY 128			/* messages between two looks at the delivery reports */
#define SETTLE_MS 40			/* how long a broken-off sender waits for what became of it */
#define EXPLAIN_MS 1000			/* how long an error waits for what explains it */

/* A message's number: the serial above, its place in the sender (from 1) below. */
#define ROW_BITS (SIZEOF_VOID_P >= 8 ? 40 : 20)
#define ROW_MASK (((uintptr_t) 1 << ROW_BITS) - 1)

/* The first message that failed. */
typedef struct Failure
{
	rd_kafka_resp_err_t err;
	bool		unsure;			/* it may be stored */
	int32		partition;		/* -1: none was chosen yet */
	int64		row;
	char		topic[256];
	char		errstr[256];
} Failure;

/* What the batches of one memory context share. */
typedef struct Sender
{
	dlist_node	node;			/* in senders */
	MemoryContext context;
	MemoryContextCallback callback;
	KafkaServer server;			/* with our own properties added */
	KafkaHandle *handle;		/* NULL once given back */
	dlist_head	batches;		/* those that are not finished */
	uintptr_t	serial;
	int64		nadded;
	int64		nstored;
	int64		nunstored;
	int64		nunsure;		/* reported as perhaps stored */
	int64		pending;		/* not yet reported */
	Size		pending_bytes;
	Size		header_bytes;	/* since nothing was pending: reports do not say how many */
	int			unserved;		/* messages since the reports were last looked at */
	bool		purged;
	Failure		failure;		/* err 0: none */
	int64		last_row;
	KafkaDelivery last;			/* of the message added last, once it is stored */
} Sender;

struct KafkaBatch
{
	dlist_node	node;			/* in its sender's batches */
	Sender	   *sender;
	char	   *topic;
	rd_kafka_topic_t *rkt;		/* NULL once finished */
};

static dlist_head senders = DLIST_STATIC_INIT(senders);
static uintptr_t last_serial = 0;

/*
 * How often a message may be tried again. By default librdkafka does so until the message times
 * out, and then says no more than that. With as many retries as fit into nine tenths of the time
 * it gives the broker's reason instead. No broker that is away uses them up sooner: what is not
 * sent is no retry. From 2.3 on the pause doubles up to a second, give or take a fifth. Returns -1
 * where the server has its own number.
 */
static int
count_retries(const KafkaServer *server)
{
	bool		grows = rd_kafka_version() >= 0x02030000;
	double		pause = 100;
	double		time = 0;
	int			retries = 0;
	ListCell   *lc;

	foreach(lc, server->properties)
	{
		KafkaProperty *property = (KafkaProperty *) lfirst(lc);

		if (strcmp(property->name, "message.send.max.retries") == 0)
			return -1;
		if (strcmp(property->name, "retry.backoff.ms") == 0)
			pause = Max(atoi(property->value), 1);
	}
	if (!grows)
		return Max((int) (0.9 * server->message_timeout / pause), 1);
	for (; time < 0.9 * server->message_timeout; retries++)
	{
		time += 0.8 * pause;
		pause = Max(pause, Min(2 * pause, 1000));
	}
	return Max(retries, 1);
}

/* Add what a sender sets itself; the list is copied, the properties are shared. */
static void
add_properties(KafkaServer *server)
{
	int			retries = count_retries(server);
	KafkaProperty *property;

	if (retries < 0)
		return;
	property = palloc(sizeof(KafkaProperty));
	property->name = "message.send.max.retries";
	property->value = psprintf("%d", retries);
	server->properties = lappend(list_copy(server->properties), property);
}

/* Count one report. */
static void
take_report(Sender *sender, const rd_kafka_message_t *message)
{
	uintptr_t	number = (uintptr_t) message->_private;
	int64		row = (int64) (number & ROW_MASK);

	if (number >> ROW_BITS != sender->serial)
		return;
	sender->pending--;
	sender->pending_bytes -= message->len + message->key_len + MESSAGE_OVERHEAD;
	if (sender->pending == 0)
		sender->header_bytes = 0;

	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		sender->nstored++;
		if (row >= sender->last_row)
		{
			sender->last_row = row;
			sender->last.partition = message->partition;
			sender->last.offset = message->offset >= 0 ? message->offset : KAFKA_UNKNOWN_OFFSET;
			sender->last.timestamp = rd_kafka_message_timestamp(message, NULL);
		}
	}
	else
	{
		bool		unsure =
			rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
		Failure    *failure = &sender->failure;

		if (unsure)
			sender->nunsure++;
		else
			sender->nunstored++;
		if (!sender->purged && (failure->err == 0 || row < failure->row))
		{
			failure->err = message->err;
			failure->unsure = unsure;
			failure->partition = message->partition;
			failure->row = row;
			strlcpy(failure->topic, rd_kafka_topic_name(message->rkt), sizeof(failure->topic));
			strlcpy(failure->errstr, rd_kafka_err2str(message->err), sizeof(failure->errstr));
		}
	}
}

/* on_report of the handle. Must not throw: the event is the caller's to destroy. */
static void
on_report(KafkaHandle *handle, rd_kafka_event_t *event)
{
	Sender	   *sender = (Sender *) handle->owner;
	const rd_kafka_message_t *message;

	while ((message = rd_kafka_event_message_next(event)) != NULL)
		take_report(sender, message);
}

/*
 * Break a sender off: drop what is not sent, stop waiting for what is, and count the reports of
 * both, which come from librdkafka's threads at once. Not KafkaConnectionWait, since interrupts
 * have been answered by then (or an error is on its way), and the wait is short.
 */
static void
break_off(Sender *sender)
{
	instr_time	start;

	if (sender->purged)
		return;
	sender->purged = true;
	sender->handle->stale = true;
	rd_kafka_purge(sender->handle->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
				   RD_KAFKA_PURGE_F_NON_BLOCKING);
	INSTR_TIME_SET_CURRENT(start);
	while (sender->pending > 0)
	{
		rd_kafka_event_t *event = rd_kafka_queue_poll(sender->handle->main, 5);
		instr_time	elapsed;

		if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
			on_report(sender->handle, event);
		if (event)
			rd_kafka_event_destroy(event);
		INSTR_TIME_SET_CURRENT(elapsed);
		INSTR_TIME_SUBTRACT(elapsed, start);
		if (INSTR_TIME_GET_MILLISEC(elapsed) > SETTLE_MS)
			break;
	}
}

/* What became of the messages, once they have been broken off. */
static char *
describe_outcome(const Sender *sender)
{
	int64		nunsure = sender->nunsure + sender->pending;

	if (sender->nadded > 1)
		return psprintf("of " INT64_FORMAT " rows sent, " INT64_FORMAT " are stored, " INT64_FORMAT
						" may be stored and " INT64_FORMAT " are not stored", sender->nadded,
						sender->nstored, nunsure, sender->nunstored);
	if (nunsure > 0)
		return pstrdup("the message may be stored");
	return pstrdup(sender->nstored > 0 ? "the message is stored" : "the message is not stored");
}

void
KafkaBatchErrorContext(void *arg)
{
	KafkaBatch *batch = (KafkaBatch *) arg;
	int			code = geterrcode();

	/* Notices and what goes to the log only break nothing off. */
	if (code == ERRCODE_SUCCESSFUL_COMPLETION || ERRCODE_TO_CATEGORY(code) == ERRCODE_WARNING)
		return;
	if (batch->sender->handle == NULL)
		return;
	if (batch->sender->pending > 0)
		break_off(batch->sender);
	errcontext("sending to topic \"%s\": %s", batch->topic, describe_outcome(batch->sender));
}

/*
 * The end of a sender: what is not acknowledged is purged, and the handle given back. Runs when
 * the last batch is finished, or when the memory context is reset, and so must not throw.
 */
static void
close_sender(void *arg)
{
	Sender	   *sender = (Sender *) arg;
	KafkaHandle *handle = sender->handle;
	dlist_iter	iter;

	if (handle == NULL)
		return;
	if (sender->pending > 0 && !sender->purged)
	{
		handle->stale = true;
		rd_kafka_purge(handle->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
					   RD_KAFKA_PURGE_F_NON_BLOCKING);
	}
	dlist_foreach(iter, &sender->batches)
	{
		KafkaBatch *batch = dlist_container(KafkaBatch, node, iter.cur);

		rd_kafka_topic_destroy(batch->rkt);
		batch->rkt = NULL;
	}
	dlist_init(&sender->batches);
	dlist_delete(&sender->node);
	sender->handle = NULL;
	KafkaConnectionCheckin(handle);
}

/*
 * Raise what stopped a message. "row" is its number, and "cause" a sentence without its full stop.
 */
static void pg_attribute_noreturn()
raise_failure(Sender *sender, int code, bool unsure, int64 row, const char *topic, int32 partition,
			  const char *cause, const char *hint)
{
	StringInfoData detail;

	initStringInfo(&detail);
	if (sender->nadded > 1 && partition >= 0)
		appendStringInfo(&detail, "Row " INT64_FORMAT ", partition %d: ", row, partition);
	else if (sender->nadded > 1)
		appendStringInfo(&detail, "Row " INT64_FORMAT ": ", row);
	else if (partition >= 0)
		appendStringInfo(&detail, "Partition %d: ", partition);
	appendStringInfo(&detail, "%s.", cause);
	if (sender->nadded > 1)
	{
		char	   *outcome = describe_outcome(sender);

		outcome[0] = pg_toupper((unsigned char) outcome[0]);
		appendStringInfo(&detail, " %s.", outcome);
	}
	ereport(ERROR,
			(errcode(code),
			 unsure ? errmsg("could not send to topic \"%s\": the message may be stored", topic)
			 : errmsg("could not send to topic \"%s\": the message is not stored", topic),
			 errdetail_internal("%s", detail.data),
			 hint ? errhint("%s", hint) : 0));
}

/* What the cluster says of a topic once more, for an error's sake, if it does so soon. */
static ProducerTopic
look_again(Sender *sender, const char *topic, int32 partition)
{
	KafkaServer server = sender->server;

	server.metadata_timeout = Min(server.metadata_timeout, EXPLAIN_MS);
	return kafka_producer_lookup(sender->handle, &server, topic, partition);
}

static char *
no_such_partition(const ProducerTopic *found, int32 partition)
{
	return psprintf("There is no partition %d: the topic has %d, from 0", partition,
					found->npartitions);
}

/*
 * Raise the failure that a delivery report told of. A timeout where the message may be stored is
 * 08007: nobody knows.
 */
static void pg_attribute_noreturn()
raise_report(Sender *sender)
{
	Failure    *failure = &sender->failure;
	KafkaHandle *handle = sender->handle;
	char		fatal[256];
	int			code;
	char	   *cause;
	const char *hint = KafkaConnectionHint(failure->err);
	ProducerTopic found = {0};

	break_off(sender);
	handle->stale = true;
	kafka_producer_forget(handle, failure->topic);
	if (failure->err == RD_KAFKA_RESP_ERR__FATAL)
	{
		failure->err = rd_kafka_fatal_error(handle->rk, fatal, sizeof(fatal));
		strlcpy(failure->errstr, fatal, sizeof(failure->errstr));
	}
	code = KafkaConnectionSqlState(failure->err);
	cause = KafkaConnectionCause(handle, failure->err, failure->errstr);

	/* A topic that was deleted, or made again smaller, shows first as a partition that is gone. */
	if (failure->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
		code == ERRCODE_INSUFFICIENT_RESOURCES)
		found = look_again(sender, failure->topic, failure->partition);
	if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR &&
		KafkaConnectionSqlState(found.err) == ERRCODE_UNDEFINED_TABLE)
	{
		code = ERRCODE_UNDEFINED_TABLE;
		cause = KafkaConnectionCause(handle, found.err, NULL);
	}
	else if (failure->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && found.npartitions > 0)
		cause = no_such_partition(&found, failure->partition);
	else if (found.nreplicas > 0)
		cause = psprintf("%s (%d of %d replicas are in sync)", cause, found.nsync,
						 found.nreplicas);
	if (code == ERRCODE_UNDEFINED_TABLE && sender->nadded == 1 && !failure->unsure)
		KafkaConsumerUnknownTopic(&sender->server, failure->topic);

	if (ERRCODE_TO_CATEGORY(code) == ERRCODE_CONNECTION_EXCEPTION)
	{
		if (sender->nunsure + sender->pending > 0)
		{
			code = ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN;
			hint = "Look in the topic before sending again; message_timeout_ms says how long to wait.";
		}
		else
			hint = "Check that the brokers run; message_timeout_ms says how long to wait.";
	}
	raise_failure(sender, code, failure->unsure, failure->row, failure->topic, failure->partition,
				  cause, hint);
}

/* Take the reports that have come; raise a failure among them. */
static void
serve_reports(Sender *sender)
{
	sender->unserved = 0;
	KafkaConnectionServe(sender->handle);
	if (sender->failure.err != RD_KAFKA_RESP_ERR_NO_ERROR)
		raise_report(sender);
}

/* Wait until at most so many messages and bytes are not yet acknowledged. */
static void
wait_for_reports(KafkaBatch *batch, int64 max_pending, Size max_bytes)
{
	Sender	   *sender = batch->sender;
	KafkaHandle *handle = sender->handle;
	ErrorContextCallback context;

	context.callback = KafkaBatchErrorContext;
	context.arg = batch;
	context.previous = error_context_stack;

	serve_reports(sender);
	while (sender->pending > max_pending ||
		   (sender->pending > 0 && sender->pending_bytes + sender->header_bytes > max_bytes))
	{
		error_context_stack = &context;
		(void) KafkaConnectionWait(handle, -1);
		error_context_stack = context.previous;
		if (sender->failure.err != RD_KAFKA_RESP_ERR_NO_ERROR)
			raise_report(sender);
		if (handle->fatal_err != RD_KAFKA_RESP_ERR_NO_ERROR && sender->pending > 0)
		{
			break_off(sender);
			raise_failure(sender, KafkaConnectionSqlState(handle->fatal_err),
						  sender->nunsure + sender->pending > 0, sender->nadded, batch->topic, -1,
						  KafkaConnectionCause(handle, handle->fatal_err, NULL),
						  KafkaConnectionHint(handle->fatal_err));
		}
	}
}

/* True where a handle made for the one serves the other. */
static bool
same_server(const KafkaServer *a, const KafkaServer *b)
{
	ListCell   *la;
	ListCell   *lb;

	if (a->serverid != b->serverid || a->userid != b->userid || a->umid != b->umid ||
		a->message_timeout != b->message_timeout ||
		a->auto_create_topics != b->auto_create_topics ||
		list_length(a->properties) != list_length(b->properties))
		return false;
	forboth(la, a->properties, lb, b->properties)
	{
		KafkaProperty *pa = (KafkaProperty *) lfirst(la);
		KafkaProperty *pb = (KafkaProperty *) lfirst(lb);

		if (strcmp(pa->name, pb->name) != 0 || strcmp(pa->value, pb->value) != 0)
			return false;
	}
	return true;
}

/* The sender of the current memory context for a server. */
static Sender *
get_sender(const KafkaServer *server)
{
	Sender	   *sender;
	KafkaServer wanted = *server;
	dlist_iter	iter;

	add_properties(&wanted);
	dlist_foreach(iter, &senders)
	{
		sender = dlist_container(Sender, node, iter.cur);
		if (sender->context == CurrentMemoryContext && !sender->purged &&
			same_server(&sender->server, &wanted))
			return sender;
	}

	sender = palloc0(sizeof(Sender));
	sender->context = CurrentMemoryContext;
	sender->server = wanted;
	sender->last.offset = KAFKA_UNKNOWN_OFFSET;
	sender->serial = ++last_serial & (UINTPTR_MAX >> ROW_BITS);
	dlist_init(&sender->batches);
	sender->callback.func = close_sender;
	sender->callback.arg = sender;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &sender->callback);
	sender->handle = KafkaConnectionCheckout(&sender->server, KAFKA_HANDLE_PRODUCER);
	dlist_push_head(&senders, &sender->node);
	sender->handle->owner = sender;
	sender->handle->on_report = on_report;
	return sender;
}

/*
 * Make the sender's handle know a topic, and raise what stands against it. With an unknown one the
 * handle goes too: librdkafka would ask for that topic every second from now on.
 */
static void
learn_topic(KafkaBatch *batch)
{
	Sender	   *sender = batch->sender;
	KafkaHandle *handle = sender->handle;
	ErrorContextCallback context;
	ProducerTopic found;

	context.callback = KafkaBatchErrorContext;
	context.arg = batch;
	context.previous = error_context_stack;
	error_context_stack = &context;
	found = kafka_producer_lookup(handle, &sender->server, batch->topic, 0);
	error_context_stack = context.previous;

	if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		kafka_producer_remember(handle, batch->topic);
		return;
	}
	handle->stale = true;
	kafka_producer_forget(handle, batch->topic);
	if (KafkaConnectionSqlState(found.err) == ERRCODE_UNDEFINED_TABLE)
	{
		if (sender->pending > 0)
			break_off(sender);
		KafkaConsumerUnknownTopic(&sender->server, batch->topic);
	}
	sender->nadded++;
	sender->nunstored++;
	break_off(sender);
	raise_failure(sender, KafkaConnectionSqlState(found.err), false, sender->nadded, batch->topic,
				  -1, KafkaConnectionCause(handle, found.err, NULL),
				  KafkaConnectionHint(found.err));
}

KafkaBatch *
KafkaBatchBegin(const KafkaServer *server, const char *topic)
{
	Sender	   *sender = get_sender(server);
	KafkaBatch *batch = palloc0(sizeof(KafkaBatch));

	batch->sender = sender;
	batch->topic = pstrdup(topic);
	if (!kafka_producer_knows(sender->handle, topic))
		learn_topic(batch);
	batch->rkt = rd_kafka_topic_new(sender->handle->rk, topic, NULL);
	if (batch->rkt == NULL)
		elog(ERROR, "could not use topic \"%s\": %s", topic,
			 rd_kafka_err2str(rd_kafka_last_error()));
	dlist_push_tail(&sender->batches, &batch->node);
	return batch;
}

/* librdkafka's form of the headers; it owns them once the message is taken. */
static rd_kafka_headers_t *
make_headers(const KafkaOutgoing *message, Size *bytes)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(message->nheaders);

	for (int i = 0; i < message->nheaders; i++)
	{
		KafkaHeader *header = &message->headers[i];

		rd_kafka_header_add(headers, header->name, -1, header->value, (ssize_t) header->len);
		*bytes += strlen(header->name) + header->len + MESSAGE_OVERHEAD / 4;
	}
	return headers;
}

/* Give a message to librdkafka, which copies it. */
static rd_kafka_resp_err_t
produce(KafkaBatch *batch, const KafkaOutgoing *message, void *number, Size *header_bytes)
{
	rd_kafka_headers_t *headers;
	rd_kafka_resp_err_t err;

	*header_bytes = 0;
	if (message->nheaders == 0 && message->timestamp == KAFKA_NO_TIMESTAMP)
	{
		/* the quicker call, without either */
		if (rd_kafka_produce(batch->rkt, message->partition, RD_KAFKA_MSG_F_COPY,
							 unconstify(char *, message->value), message->valuelen, message->key,
							 message->keylen, number) == 0)
			return RD_KAFKA_RESP_ERR_NO_ERROR;
		return rd_kafka_last_error();
	}

	headers = message->nheaders > 0 ? make_headers(message, header_bytes) : NULL;
	err = rd_kafka_producev(batch->sender->handle->rk,
							RD_KAFKA_V_RKT(batch->rkt),
							RD_KAFKA_V_PARTITION(message->partition),
							RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							RD_KAFKA_V_VALUE(unconstify(char *, message->value), message->valuelen),
							RD_KAFKA_V_KEY(message->key, message->keylen),
							RD_KAFKA_V_TIMESTAMP(message->timestamp == KAFKA_NO_TIMESTAMP ? 0
												 : message->timestamp),
							RD_KAFKA_V_OPAQUE(number),
							RD_KAFKA_V_HEADERS(headers),
							RD_KAFKA_V_END);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR && headers)
		rd_kafka_headers_destroy(headers);
	return err;
}

/*
 * librdkafka refused a message. Returns where it is worth another try: room was made, or what the
 * handle knows of the topic was out of date. Raises the error otherwise.
 */
static void
handle_refusal(KafkaBatch *batch, const KafkaOutgoing *message, rd_kafka_resp_err_t err,
			   int attempt)
{
	Sender	   *sender = batch->sender;
	const char *hint = KafkaConnectionHint(err);
	const char *cause = NULL;

	if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL && sender->pending > 0)
	{
		wait_for_reports(batch, sender->pending / 2, MAX_PENDING_BYTES);
		return;
	}
	if (err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
	{
		ProducerTopic found = kafka_producer_lookup(sender->handle, &sender->server, batch->topic,
													message->partition);

		if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR && message->partition >= 0 &&
			message->partition < found.npartitions && attempt == 0)
			return;
		if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR)
			cause = no_such_partition(&found, message->partition);
	}
	if ((err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		&& attempt == 0)
	{
		learn_topic(batch);
		return;
	}
	if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
		hint = "The server's option message_max_bytes, and the topic's max.message.bytes, say how "
			"large a message may be.";

	sender->nadded++;
	sender->nunstored++;
	if (sender->pending > 0)
		break_off(sender);
	if (cause == NULL)
		cause = KafkaConnectionCause(sender->handle, err, NULL);
	if (err == RD_KAFKA_RESP_ERR__FATAL)
		sender->handle->stale = true;
	raise_failure(sender, KafkaConnectionSqlState(err), false, sender->nadded, batch->topic, -1,
				  cause, hint);
}

void
KafkaBatchAdd(KafkaBatch *batch, const KafkaOutgoing *message)
{
	Sender	   *sender = batch->sender;
	uintptr_t	number = sender->serial << ROW_BITS | ((uintptr_t) (sender->nadded + 1) & ROW_MASK);
	Size		header_bytes;
	rd_kafka_resp_err_t err;

	/* To librdkafka a timestamp of 0 means now, so the first millisecond of 1970 cannot be sent. */
	if (message->timestamp <= 0 && message->timestamp != KAFKA_NO_TIMESTAMP)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp of a message must be after 1970-01-01 00:00:00 UTC")));

	for (int attempt = 0;; attempt++)
	{
		err = produce(batch, message, (void *) number, &header_bytes);
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		handle_refusal(batch, message, err, attempt);
	}
	sender->nadded++;
	sender->pending++;
	sender->pending_bytes += message->keylen + message->valuelen + MESSAGE_OVERHEAD;
	sender->header_bytes += header_bytes;

	if (sender->pending > MAX_PENDING_MESSAGES ||
		sender->pending_bytes + sender->header_bytes > MAX_PENDING_BYTES)
		wait_for_reports(batch, MAX_PENDING_MESSAGES / 2, MAX_PENDING_BYTES / 2);
	else if (++sender->unserved >= SERVE_EVERY)
		serve_reports(sender);
}

KafkaDelivery
KafkaBatchWait(KafkaBatch *batch)
{
	wait_for_reports(batch, 0, 0);
	return batch->sender->last;
}

void
KafkaBatchFinish(KafkaBatch *batch)
{
	Sender	   *sender = batch->sender;

	wait_for_reports(batch, 0, 0);
	rd_kafka_topic_destroy(batch->rkt);
	batch->rkt = NULL;
	dlist_delete(&batch->node);
	if (dlist_is_empty(&sender->batches))
		close_sender(sender);
}
