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
 * used again, though librdkafka could: it would send the next message behind the request that the
 * broker has not answered, and of that message too one could only say that it may be stored. On a
 * new connection it is certain. Nor can anything of the old one be sent later.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"

#include "consumer.h"
#include "producer_private.h"

#define MAX_PENDING_MESSAGES 50000
#define MAX_PENDING_BYTES (16 * 1024 * 1024)
#define MESSAGE_OVERHEAD 256	/* librdkafka's memory for a message beside its key and value */
#define SERVE_EVERY 128			/* messages between two looks at the delivery reports */
#define SETTLE_MS 20			/* how long a broken-off sender waits, twice, for its outcome */

/* A message's number: the serial above, its place in the sender (from 1) below. */
#define ROW_BITS (SIZEOF_VOID_P >= 8 ? 40 : 20)
#define ROW_MASK (((uintptr_t) 1 << ROW_BITS) - 1)

static dlist_head senders = DLIST_STATIC_INIT(senders);
static uintptr_t last_serial = 0;

/*
 * How often a message may be tried again. By default librdkafka does so until the message times
 * out, and then says no more than that. With as many retries as fit into four fifths of the time
 * it gives the broker's reason instead. No broker that is away uses them up sooner: what is not
 * sent is no retry. From 2.3 on the pause doubles up to a second, give or take a fifth; those that
 * are longest must fit. Returns -1 where the server has its own number.
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
		return Max((int) (0.8 * server->message_timeout / pause), 1);
	for (;; retries++)
	{
		time += Min(1.2 * pause, 1000);
		if (time > 0.8 * server->message_timeout)
			break;
		pause = Min(2 * pause, 1000);
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

/* Take reports until all have come or the time is over. Neither waits for interrupts nor throws. */
static void
settle(Sender *sender)
{
	instr_time	start;
	instr_time	elapsed;

	INSTR_TIME_SET_CURRENT(start);
	do
	{
		rd_kafka_event_t *event;

		if (sender->pending == 0)
			return;
		event = rd_kafka_queue_poll(sender->handle->main, 5);
		if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
			on_report(sender->handle, event);
		if (event)
			rd_kafka_event_destroy(event);
		INSTR_TIME_SET_CURRENT(elapsed);
		INSTR_TIME_SUBTRACT(elapsed, start);
	} while (INSTR_TIME_GET_MILLISEC(elapsed) < SETTLE_MS);
}

/*
 * Break a sender off: drop what is not sent, let what is under way be answered if that happens
 * soon, so that its outcome is known, and then stop waiting for it. Not KafkaConnectionWait, since
 * interrupts have been answered by then (or an error is on its way), and the waits are short.
 */
void
kafka_sender_break_off(Sender *sender)
{
	rd_kafka_t *rk = sender->handle->rk;

	if (sender->purged)
		return;
	sender->purged = true;
	sender->handle->stale = true;
	if (sender->pending == 0)
		return;
	rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
	settle(sender);
	rd_kafka_purge(rk, RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	settle(sender);
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

/* Take the reports that have come; raise a failure among them. */
static void
serve_reports(Sender *sender)
{
	sender->unserved = 0;
	KafkaConnectionServe(sender->handle);
	if (sender->failure.err != RD_KAFKA_RESP_ERR_NO_ERROR)
		kafka_sender_raise_report(sender);
}

/* Whoever catches the error that broke a batch off must not go on with it: rows were dropped. */
static inline void
check_not_broken_off(const Sender *sender)
{
	if (unlikely(sender->purged))
		elog(ERROR, "a batch that was broken off is used again");
}

/* Wait until at most so many messages and bytes are not yet acknowledged. */
static void
wait_for_reports(KafkaBatch *batch, int64 max_pending, Size max_bytes)
{
	Sender	   *sender = batch->sender;
	KafkaHandle *handle = sender->handle;
	ErrorContextCallback context;

	context.callback = kafka_batch_wait_context;
	context.arg = batch;
	context.previous = error_context_stack;

	check_not_broken_off(sender);
	serve_reports(sender);
	while (sender->pending > max_pending ||
		   (sender->pending > 0 && sender->pending_bytes + sender->header_bytes > max_bytes))
	{
		error_context_stack = &context;
		(void) KafkaConnectionWait(handle, -1);
		error_context_stack = context.previous;
		if (sender->failure.err != RD_KAFKA_RESP_ERR_NO_ERROR)
			kafka_sender_raise_report(sender);
		if (handle->fatal_err != RD_KAFKA_RESP_ERR_NO_ERROR && sender->pending > 0)
		{
			kafka_sender_break_off(sender);
			kafka_sender_raise(sender, KafkaConnectionSqlState(handle->fatal_err),
							   sender->nunsure + sender->pending > 0, sender->nadded, batch->topic, -1,
							   KafkaConnectionCause(handle, handle->fatal_err, NULL),
							   KafkaConnectionHint(handle->fatal_err));
		}
	}
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
			KafkaOptionSameServer(&sender->server, &wanted))
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
	ProducerTopic found = kafka_batch_lookup(batch, 0, INT_MAX);

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
			kafka_sender_break_off(sender);
		KafkaConsumerUnknownTopic(&sender->server, batch->topic);
	}
	sender->nadded++;
	sender->nunstored++;
	kafka_sender_break_off(sender);
	kafka_sender_raise(sender, KafkaConnectionSqlState(found.err), false, sender->nadded, batch->topic,
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

/*
 * librdkafka refused a message. Returns where it is worth another try: room was made, or what the
 * handle knows of the topic was out of date. Raises the error otherwise.
 */
static void
handle_refusal(KafkaBatch *batch, const KafkaOutgoing *message, rd_kafka_resp_err_t err,
			   int attempt)
{
	Sender	   *sender = batch->sender;
	const char *cause = NULL;
	char		fatal[256];

	if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL && sender->pending > 0)
	{
		wait_for_reports(batch, sender->pending / 2, MAX_PENDING_BYTES);
		return;
	}
	if (err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
	{
		ProducerTopic found = kafka_batch_lookup(batch, message->partition, INT_MAX);

		if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR && message->partition >= 0 &&
			message->partition < found.npartitions && attempt == 0)
			return;
		if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR)
			cause = kafka_no_such_partition(&found, message->partition);
	}
	if ((err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		&& attempt == 0)
	{
		learn_topic(batch);
		return;
	}

	sender->nadded++;
	sender->nunstored++;
	if (sender->pending > 0)
		kafka_sender_break_off(sender);
	if (err == RD_KAFKA_RESP_ERR__FATAL)
		sender->handle->stale = true;
	if (kafka_producer_first_error(sender->handle, &err, fatal, sizeof(fatal)))
		cause = KafkaConnectionCause(sender->handle, err, fatal);
	if (cause == NULL)
		cause = KafkaConnectionCause(sender->handle, err, NULL);
	kafka_sender_raise(sender, KafkaConnectionSqlState(err), false, sender->nadded, batch->topic,
					   -1, cause, kafka_sender_hint(err));
}

void
KafkaBatchAdd(KafkaBatch *batch, const KafkaOutgoing *message)
{
	Sender	   *sender = batch->sender;
	uintptr_t	number = sender->serial << ROW_BITS | ((uintptr_t) (sender->nadded + 1) & ROW_MASK);
	Size		bytes = MESSAGE_OVERHEAD;
	rd_kafka_resp_err_t err;

	check_not_broken_off(sender);

	/* To librdkafka a timestamp of 0 means now, so the first millisecond of 1970 cannot be sent. */
	if (message->timestamp <= 0 && message->timestamp != KAFKA_NO_TIMESTAMP)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp of a message must be after 1970-01-01 00:00:00 UTC")));

	for (int attempt = 0;; attempt++)
	{
		err = kafka_produce_message(sender->handle->rk, batch->rkt, message, (void *) number);
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		handle_refusal(batch, message, err, attempt);
	}
	bytes += message->key ? message->keylen : 0;
	bytes += message->value ? message->valuelen : 0;
	sender->nadded++;
	sender->pending++;
	sender->pending_bytes += bytes;
	sender->header_bytes += kafka_message_header_bytes(message);

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
