/*
 * producer_transaction.c
 *		Messages sent inside Kafka's transactions.
 *
 * librdkafka's transactional calls only have a blocking form, so each runs in a thread
 * (KafkaConnectionCall). A message that fails makes the whole transaction abortable; the reports
 * of the others then say "purged". The ones that say something else are at fault. Those that
 * Kafka will never take are refusals; a failure that passes is an ERROR for whoever runs the
 * transaction to try again.
 *
 * A topic's max.message.bytes is a limit on what librdkafka sends at once, which is many messages:
 * when it is exceeded, all of them are "too large". So such messages are tried again, fewer at once,
 * and one is refused only if it was alone.
 *
 * KIP-98 is the protocol; https://docs.confluent.io/platform/current/clients/librdkafka/html/
 * rdkafka_8h.html ("Transactional producer API") what the errors of each call mean.
 */
#include "postgres.h"

#include <stdlib.h>

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "producer_private.h"
#include "producer_transaction.h"

#define MAX_PENDING_BYTES (16 * 1024 * 1024)
#define MESSAGE_OVERHEAD 256
#define SERVE_EVERY 128
#define ANSWER_POLL_MS 20
#define MISSING_POLL_MS 200
#define FIRST_LIMIT (256 * 1024)	/* bytes at once, where librdkafka's own limit was too much */

/* What may be sent to a topic at once, unless it is one message. Outlives the transactor, which may fail by it. */
typedef struct TopicLimit
{
	Size		bytes;			/* 0: anything */
	char		topic[FLEXIBLE_ARRAY_MEMBER];
} TopicLimit;

/* A topic that messages were sent to. */
typedef struct TransactorTopic
{
	char	   *name;
	rd_kafka_topic_t *rkt;		/* NULL where it was not there */
	int			npartitions;
	bool		missed;			/* it was waited for in vain */
	TopicLimit *limit;
	Size		unanswered;		/* where there is a limit: what was sent since all was answered */
} TransactorTopic;

/* A message that failed. */
typedef struct TransactorFailure
{
	int64		number;
	rd_kafka_resp_err_t err;
	bool		final;
	TransactorTopic *crowded;	/* too large for this topic, but perhaps not alone; or NULL */
} TransactorFailure;

struct KafkaTransactor
{
	MemoryContext context;
	MemoryContextCallback callback;
	KafkaServer server;
	KafkaHandle *handle;		/* NULL once given back */
	List	   *topics;			/* of TransactorTopic *, the one used last in front */
	List	   *refusals;		/* of KafkaRefusal *, of the present transaction */
	TimestampTz begun_at;		/* when the present transaction began; 0: none has */
	int64		pending;
	Size		pending_bytes;
	bool		failed;			/* librdkafka takes no more messages in this transaction */
	int			unserved;
	TransactorFailure *failures;	/* from reports, which may not throw */
	int			nfailures;
	int			maxfailures;
	rd_kafka_queue_t *answers;	/* of an administrative request under way, or NULL */
};

typedef enum TransactorVerb
{
	TRANSACTOR_INIT,
	TRANSACTOR_COMMIT,
	TRANSACTOR_ABORT
} TransactorVerb;

/* A blocking call, as the thread sees it. */
typedef struct TransactorCall
{
	TransactorVerb verb;
	int			timeout;
	rd_kafka_resp_err_t err;	/* 0: done */
	bool		fatal;
	bool		retriable;
	bool		abortable;
	char		errstr[256];
} TransactorCall;

static List *limits = NIL;		/* of TopicLimit *, for the process, which sends to one cluster */

static void
run_call(rd_kafka_t *rk, void *arg)
{
	TransactorCall *call = (TransactorCall *) arg;
	KafkaDeadline deadline = KafkaConnectionDeadline(call->timeout);

	do
	{
		int			slice = KafkaConnectionSlice(&deadline);
		rd_kafka_error_t *error = NULL;

		switch (call->verb)
		{
			case TRANSACTOR_INIT:
				error = rd_kafka_init_transactions(rk, slice);
				break;
			case TRANSACTOR_COMMIT:
				error = rd_kafka_commit_transaction(rk, slice);
				break;
			case TRANSACTOR_ABORT:
				error = rd_kafka_abort_transaction(rk, slice);
				break;
		}
		call->err = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
		if (error == NULL)
			return;
		call->fatal = rd_kafka_error_is_fatal(error) != 0;
		call->retriable = rd_kafka_error_is_retriable(error) != 0;
		call->abortable = rd_kafka_error_txn_requires_abort(error) != 0;
		snprintf(call->errstr, sizeof(call->errstr), "%s", rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
		/* An answer that is late is picked up by the same call made again. */
	} while (call->retriable && !call->fatal && KafkaConnectionRetry(&deadline));
}

static TransactorCall
call_blocking(KafkaTransactor *transactor, TransactorVerb verb)
{
	TransactorCall *call = calloc(1, sizeof(TransactorCall));
	TransactorCall result;

	if (call == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	call->verb = verb;
	call->timeout = transactor->server.message_timeout;
	KafkaConnectionCall(transactor->handle, run_call, call, free);
	result = *call;
	free(call);
	KafkaConnectionServe(transactor->handle);
	return result;
}

/*
 * Another producer has taken the transactional id over. The same is said where the broker has timed the
 * transaction out, as it had taken too long.
 */
static bool
is_fenced(const KafkaTransactor *transactor, rd_kafka_resp_err_t err)
{
	if (transactor->begun_at != 0 &&
		TimestampDifferenceExceeds(transactor->begun_at, GetCurrentTimestamp(),
								   atoi(KAFKA_TRANSACTION_TIMEOUT_MS)))
		return false;
	switch (err)
	{
		case RD_KAFKA_RESP_ERR__FENCED:
		case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
		case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
		case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING:
			return true;
		default:
			return false;
	}
}

pg_noreturn static void
raise_failure(KafkaTransactor *transactor, const char *what, rd_kafka_resp_err_t err,
			  const char *errstr)
{
	KafkaHandle *handle = transactor->handle;
	char		fatal[256];
	const char *hint;

	handle->stale = true;
	if (kafka_producer_first_error(handle, &err, fatal, sizeof(fatal)))
		errstr = fatal;
	hint = KafkaConnectionHint(err);
	ereport(ERROR,
			(errcode(is_fenced(transactor, err) ? KAFKA_FENCED_SQLSTATE : KafkaConnectionSqlState(err)),
			 errmsg("could not %s on server \"%s\"", what, transactor->server.name),
			 errdetail_internal("%s.", KafkaConnectionCause(handle, err, errstr)),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * What no second try mends. A topic that is not there is none of it: the next try prepares it, and
 * waits for it.
 */
static bool
is_final(rd_kafka_resp_err_t err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
		case RD_KAFKA_RESP_ERR_INVALID_RECORD:
		case RD_KAFKA_RESP_ERR_INVALID_MSG:
		case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
			return true;
		default:
			return false;
	}
}

/* What of a message counts for its topic's limit; never 0. */
static Size
counted_size(Size keylen, Size valuelen)
{
	return keylen + valuelen + 1;
}

/* The topic that a message was too large for, where it was not alone; or NULL. */
static TransactorTopic *
find_crowded(KafkaTransactor *transactor, const rd_kafka_message_t *message)
{
	ListCell   *lc;

	if (message->err != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE &&
		message->err != RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE)
		return NULL;
	foreach(lc, transactor->topics)
	{
		TransactorTopic *topic = (TransactorTopic *) lfirst(lc);

		if (strcmp(topic->name, rd_kafka_topic_name(message->rkt)) == 0)
			return topic->limit->bytes > 0 &&
				counted_size(message->key_len, message->len) >= topic->limit->bytes ? NULL : topic;
	}
	return NULL;
}

/* on_report of the handle. Must not throw. */
static void
on_report(KafkaHandle *handle, rd_kafka_event_t *event)
{
	KafkaTransactor *transactor = (KafkaTransactor *) handle->owner;
	const rd_kafka_message_t *message;

	while ((message = rd_kafka_event_message_next(event)) != NULL)
	{
		TransactorFailure *failure;

		transactor->pending--;
		transactor->pending_bytes -= message->len + message->key_len + MESSAGE_OVERHEAD;
		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR ||
			message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
			message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
			continue;

		/*
		 * One is enough for the transaction to be aborted; the others are found when it is tried
		 * again.
		 */
		if (transactor->nfailures == transactor->maxfailures)
			continue;
		failure = &transactor->failures[transactor->nfailures++];
		failure->number = (int64) (intptr_t) message->_private;
		failure->err = message->err;
		failure->crowded = find_crowded(transactor, message);
		failure->final = failure->crowded == NULL && is_final(message->err);
	}
}

static void
release_transactor(void *arg)
{
	KafkaTransactor *transactor = (KafkaTransactor *) arg;
	KafkaHandle *handle = transactor->handle;
	ListCell   *lc;

	if (handle == NULL)
		return;
	if (transactor->answers)
		rd_kafka_queue_destroy(transactor->answers);
	foreach(lc, transactor->topics)
	{
		TransactorTopic *topic = (TransactorTopic *) lfirst(lc);

		if (topic->rkt)
			rd_kafka_topic_destroy(topic->rkt);
	}
	if (transactor->pending > 0)
		rd_kafka_purge(handle->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
					   RD_KAFKA_PURGE_F_NON_BLOCKING);
	handle->stale = true;
	transactor->handle = NULL;
	KafkaConnectionCheckin(handle);
}

KafkaTransactor *
KafkaTransactorOpen(const KafkaServer *server)
{
	KafkaTransactor *transactor = palloc0(sizeof(KafkaTransactor));
	TransactorCall call;

	Assert(server->transactional_id != NULL);
	transactor->context = CurrentMemoryContext;
	transactor->server = *server;
	transactor->maxfailures = 1000;
	transactor->failures = palloc(transactor->maxfailures * sizeof(TransactorFailure));
	transactor->callback.func = release_transactor;
	transactor->callback.arg = transactor;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &transactor->callback);
	transactor->handle = KafkaConnectionCheckout(&transactor->server, KAFKA_HANDLE_PRODUCER);
	transactor->handle->owner = transactor;
	transactor->handle->on_report = on_report;

	call = call_blocking(transactor, TRANSACTOR_INIT);
	if (call.err != RD_KAFKA_RESP_ERR_NO_ERROR)
		raise_failure(transactor, "begin to send in transactions", call.err, call.errstr);
	return transactor;
}

void
KafkaTransactorClose(KafkaTransactor *transactor)
{
	release_transactor(transactor);
}

/* True where the topic is there, as the producer's own look-up has it. */
static bool
topic_exists(KafkaTransactor *transactor, const char *topic)
{
	ProducerTopic found = kafka_producer_lookup(transactor->handle, &transactor->server, topic, 0);

	if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	if (KafkaConnectionSqlState(found.err) != ERRCODE_UNDEFINED_TABLE)
		raise_failure(transactor, psprintf("look up topic \"%s\"", topic), found.err, NULL);
	return false;
}

bool
KafkaTransactorMakeTopic(KafkaTransactor *transactor, const char *topic)
{
	KafkaHandle *handle = transactor->handle;
	rd_kafka_NewTopic_t *new_topic;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_event_t *event = NULL;
	rd_kafka_resp_err_t err;
	char	   *reason = NULL;
	char		errstr[256];

	if (topic_exists(transactor, topic))
		return false;

	/* The answer comes to the handle's main queue; nothing between here and it can throw. */
	new_topic = rd_kafka_NewTopic_new(topic, 1, -1, errstr, sizeof(errstr));
	if (new_topic == NULL)
		elog(ERROR, "could not make topic \"%s\": %s", topic, errstr);
	rd_kafka_NewTopic_set_config(new_topic, "cleanup.policy", "compact");
	options = rd_kafka_AdminOptions_new(handle->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_AdminOptions_set_request_timeout(options, transactor->server.metadata_timeout, errstr,
											  sizeof(errstr));
	transactor->answers = rd_kafka_queue_new(handle->rk);
	rd_kafka_CreateTopics(handle->rk, &new_topic, 1, options, transactor->answers);
	rd_kafka_NewTopic_destroy(new_topic);
	rd_kafka_AdminOptions_destroy(options);
	while ((event = rd_kafka_queue_poll(transactor->answers, 0)) == NULL)
		(void) KafkaConnectionWait(handle, ANSWER_POLL_MS);
	err = rd_kafka_event_error(event);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		size_t		n;
		const rd_kafka_topic_result_t **results =
			rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);

		err = n == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR_UNKNOWN;
		if (n == 1 && rd_kafka_topic_result_error_string(results[0]))
			reason = pstrdup(rd_kafka_topic_result_error_string(results[0]));
	}
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(transactor->answers);
	transactor->answers = NULL;
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR && err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		raise_failure(transactor, psprintf("create topic \"%s\"", topic), err, reason);
	while (!topic_exists(transactor, topic))
		(void) KafkaConnectionWait(handle, ANSWER_POLL_MS);
	return true;
}

void
KafkaTransactorBegin(KafkaTransactor *transactor)
{
	rd_kafka_error_t *error = rd_kafka_begin_transaction(transactor->handle->rk);
	ListCell   *lc;

	transactor->begun_at = GetCurrentTimestamp();
	transactor->failed = false;
	transactor->nfailures = 0;
	transactor->refusals = NIL;
	foreach(lc, transactor->topics)
		((TransactorTopic *) lfirst(lc))->unanswered = 0;
	if (error)
	{
		rd_kafka_resp_err_t err = rd_kafka_error_code(error);
		char	   *errstr = pstrdup(rd_kafka_error_string(error));

		rd_kafka_error_destroy(error);
		raise_failure(transactor, "begin a Kafka transaction", err, errstr);
	}
}

static void
refuse(KafkaTransactor *transactor, int64 number, const char *reason)
{
	KafkaRefusal *refusal = palloc(sizeof(KafkaRefusal));

	refusal->number = number;
	refusal->reason = pstrdup(reason);
	transactor->refusals = lappend(transactor->refusals, refusal);
}

static TopicLimit *
get_limit(const char *name)
{
	MemoryContext oldcontext;
	TopicLimit *limit;
	ListCell   *lc;

	foreach(lc, limits)
	{
		limit = (TopicLimit *) lfirst(lc);
		if (strcmp(limit->topic, name) == 0)
			return limit;
	}
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	limit = palloc0(offsetof(TopicLimit, topic) + strlen(name) + 1);
	strcpy(limit->topic, name);
	limits = lappend(limits, limit);
	MemoryContextSwitchTo(oldcontext);
	return limit;
}

/* A topic's entry, made where there is none; moved to the front. */
static TransactorTopic *
get_topic(KafkaTransactor *transactor, const char *name)
{
	MemoryContext oldcontext;
	TransactorTopic *topic;
	ListCell   *lc;

	foreach(lc, transactor->topics)
	{
		topic = (TransactorTopic *) lfirst(lc);
		if (strcmp(topic->name, name) != 0)
			continue;
		if (foreach_current_index(lc) > 0)
		{
			lfirst(lc) = linitial(transactor->topics);
			linitial(transactor->topics) = topic;
		}
		return topic;
	}
	oldcontext = MemoryContextSwitchTo(transactor->context);
	topic = palloc0(sizeof(TransactorTopic));
	topic->name = pstrdup(name);
	topic->limit = get_limit(name);
	transactor->topics = lcons(topic, transactor->topics);
	MemoryContextSwitchTo(oldcontext);
	return topic;
}

/* What cannot be sent to now, but perhaps soon. */
static bool
is_missing(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

char *
KafkaTransactorPrepare(KafkaTransactor *transactor, const char *name, int32 partition)
{
	TransactorTopic *topic = get_topic(transactor, name);
	TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  transactor->server.metadata_timeout);
	bool		patient = topic->rkt == NULL && !topic->missed;

	while (topic->rkt == NULL || partition >= topic->npartitions)
	{
		ProducerTopic found = kafka_producer_lookup(transactor->handle, &transactor->server, name, 0);

		if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			topic->npartitions = found.npartitions;
			topic->missed = false;
			if (topic->rkt == NULL &&
				(topic->rkt = rd_kafka_topic_new(transactor->handle->rk, name, NULL)) == NULL)
				elog(ERROR, "could not use topic \"%s\": %s", name,
					 rd_kafka_err2str(rd_kafka_last_error()));
			if (partition >= topic->npartitions)
				return kafka_no_such_partition(&found, partition);
		}
		else if (!is_missing(found.err) && !is_final(found.err))
			raise_failure(transactor, psprintf("look up topic \"%s\"", name), found.err, NULL);
		else if (!patient || !is_missing(found.err) || GetCurrentTimestamp() >= give_up)
		{
			topic->missed = true;
			return KafkaConnectionCause(transactor->handle, found.err, NULL);
		}
		else
			(void) KafkaConnectionWait(transactor->handle, MISSING_POLL_MS);
	}
	return NULL;
}

/* Wait until at most so many bytes are not acknowledged, or something has failed. */
static void
wait_for_reports(KafkaTransactor *transactor, Size max_bytes)
{
	transactor->unserved = 0;
	KafkaConnectionServe(transactor->handle);
	while (transactor->pending > 0 && transactor->pending_bytes > max_bytes &&
		   transactor->nfailures == 0)
	{
		(void) KafkaConnectionWait(transactor->handle, -1);
		if (transactor->handle->fatal_err != RD_KAFKA_RESP_ERR_NO_ERROR)
			raise_failure(transactor, "send in a transaction", transactor->handle->fatal_err, NULL);
	}
}

/* Where a topic has a limit, have all be answered before the message that would exceed it. */
static void
keep_limit(KafkaTransactor *transactor, TransactorTopic *topic, const KafkaOutgoing *message)
{
	Size		size = counted_size(message->key ? message->keylen : 0,
									message->value ? message->valuelen : 0);

	if (topic->limit->bytes == 0)
		return;
	if (topic->unanswered > 0 && topic->unanswered + size > topic->limit->bytes)
	{
		wait_for_reports(transactor, 0);
		topic->unanswered = 0;
	}
	topic->unanswered += size;
}

void
KafkaTransactorAdd(KafkaTransactor *transactor, const char *name, const KafkaOutgoing *message,
				   int64 number)
{
	TransactorTopic *topic = get_topic(transactor, name);
	rd_kafka_topic_t *rkt = topic->rkt;

	Assert(rkt != NULL);
	/* The transaction will be aborted: only those that librdkafka itself refuses are still found. */
	if (transactor->nfailures == 0 && !transactor->failed)
		keep_limit(transactor, topic, message);
	if (transactor->nfailures > 0 || transactor->failed)
		return;
	for (;;)
	{
		rd_kafka_resp_err_t err = kafka_produce_message(transactor->handle->rk, rkt, message,
														(void *) (intptr_t) number);

		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
			break;
		if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		{
			wait_for_reports(transactor, transactor->pending_bytes / 2);
			continue;
		}
		/* A message has failed; its report, which says why, is still to come. */
		if (err == RD_KAFKA_RESP_ERR__STATE)
		{
			transactor->failed = true;
			return;
		}
		if (!is_final(err))
			raise_failure(transactor, "send in a transaction", err, NULL);
		refuse(transactor, number, KafkaConnectionCause(transactor->handle, err, NULL));
		return;
	}
	transactor->pending++;
	transactor->pending_bytes += (message->key ? message->keylen : 0) +
		(message->value ? message->valuelen : 0) + MESSAGE_OVERHEAD;
	if (transactor->pending_bytes > MAX_PENDING_BYTES)
		wait_for_reports(transactor, MAX_PENDING_BYTES / 2);
	else if (++transactor->unserved >= SERVE_EVERY)
		wait_for_reports(transactor, MAX_PENDING_BYTES);
}

/* Too much was sent at once to a topic: each of these messages may do alone. */
static void
lower_limits(KafkaTransactor *transactor)
{
	ListCell   *lc;

	foreach(lc, transactor->topics)
	{
		TransactorTopic *topic = (TransactorTopic *) lfirst(lc);

		for (int i = 0; i < transactor->nfailures; i++)
		{
			if (transactor->failures[i].crowded != topic)
				continue;
			topic->limit->bytes = topic->limit->bytes == 0 ? FIRST_LIMIT
				: Max(topic->limit->bytes / 4, 1);
			break;
		}
	}
}

/*
 * Abort, and say which messages are at fault. Where none of the failures is final the transaction is
 * worth another try, with another producer; or at once, where it is only that fewer messages have to be
 * sent at a time. "commit" is the attempt to commit that failed; NULL: there was none.
 */
static List *
abort_transaction(KafkaTransactor *transactor, const TransactorCall *commit, bool *again)
{
	TransactorCall call = call_blocking(transactor, TRANSACTOR_ABORT);
	TransactorFailure *passing = NULL;

	for (int i = 0; i < transactor->nfailures; i++)
	{
		TransactorFailure *failure = &transactor->failures[i];

		if (failure->final)
			refuse(transactor, failure->number,
				   KafkaConnectionCause(transactor->handle, failure->err, NULL));
		else if (failure->crowded)
			*again = true;
		else if (passing == NULL)
			passing = failure;
	}
	/* What others fail by then is that one has failed. */
	if (*again)
		lower_limits(transactor);
	else if (transactor->refusals == NIL)
	{
		/* Whatever it was: nothing was sent. */
		if (commit)
			raise_failure(transactor, "commit a Kafka transaction", commit->err, commit->errstr);
		raise_failure(transactor, "send in a transaction",
					  passing ? passing->err : RD_KAFKA_RESP_ERR__STATE, NULL);
	}
	if (call.err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		/* The next producer of the id aborts it; what was refused is known all the same. */
		if (transactor->refusals == NIL)
			raise_failure(transactor, "abort a Kafka transaction", call.err, call.errstr);
		transactor->handle->stale = true;
	}
	return transactor->refusals;
}

List *
KafkaTransactorCommit(KafkaTransactor *transactor, bool *again)
{
	TransactorCall call;

	*again = false;
	wait_for_reports(transactor, 0);
	if (transactor->refusals != NIL || transactor->nfailures > 0 || transactor->failed)
		return abort_transaction(transactor, NULL, again);
	call = call_blocking(transactor, TRANSACTOR_COMMIT);
	if (call.err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return NIL;
	if (call.abortable)
		return abort_transaction(transactor, &call, again);
	raise_failure(transactor, "commit a Kafka transaction", call.err, call.errstr);
}
