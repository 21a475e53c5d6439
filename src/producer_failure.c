/*
 * producer_failure.c
 *		What a message's failure is to the user: an error that says whether it is stored.
 *
 * An error has the SQLSTATE of its cause, and in its message one of two phrases: "the message is
 * not stored" or "the message may be stored". Where a connection failed and anything may be stored,
 * the SQLSTATE is 08007. An error that is not ours (a cancel, a row that cannot be converted) keeps
 * its own and gets the outcome as CONTEXT.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "consumer.h"
#include "producer_private.h"

#define EXPLAIN_MS 1000			/* how long an error waits for what explains it */

/* What became of the messages, once they have been broken off. */
static char *
count_outcomes(const Sender *sender)
{
	return psprintf("rows sent: " INT64_FORMAT "; stored: " INT64_FORMAT ", may be stored: "
					INT64_FORMAT ", not stored: " INT64_FORMAT, sender->nadded, sender->nstored,
					sender->nunsure + sender->pending, sender->nunstored);
}

/*
 * Whether what is being reported breaks the batch off. Warnings and log lines do not, whatever
 * SQLSTATE they have; PostgreSQL tells a callback their level only in a copy of all of it.
 */
static bool
is_broken_off(const KafkaBatch *batch)
{
	MemoryContext oldcontext;
	ErrorData  *error;
	bool		result;

	if (batch->sender->handle == NULL)
		return false;
	oldcontext = MemoryContextSwitchTo(batch->sender->context);
	error = CopyErrorData();
	result = error->elevel >= ERROR;
	FreeErrorData(error);
	MemoryContextSwitchTo(oldcontext);
	return result;
}

void
KafkaBatchErrorContext(void *arg)
{
	KafkaBatch *batch = (KafkaBatch *) arg;

	if (!is_broken_off(batch))
		return;
	kafka_sender_break_off(batch->sender);
	errcontext("sending to topic \"%s\": %s", batch->topic, count_outcomes(batch->sender));
}

/* A single message is spoken of as such. */
void
kafka_batch_wait_context(void *arg)
{
	KafkaBatch *batch = (KafkaBatch *) arg;
	Sender	   *sender = batch->sender;

	if (!is_broken_off(batch))
		return;
	kafka_sender_break_off(sender);
	if (sender->nadded > 1)
		errcontext("sending to topic \"%s\": %s", batch->topic, count_outcomes(sender));
	else if (sender->nunsure + sender->pending > 0)
		errcontext("sending to topic \"%s\": the message may be stored", batch->topic);
	else if (sender->nstored > 0)
		errcontext("sending to topic \"%s\": the message is stored", batch->topic);
	else
		errcontext("sending to topic \"%s\": the message is not stored", batch->topic);
}

void
kafka_sender_raise(Sender *sender, int code, bool unsure, int64 row, const char *topic,
				   int32 partition, const char *cause, const char *hint)
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
		char	   *outcomes = count_outcomes(sender);

		outcomes[0] = pg_toupper((unsigned char) outcomes[0]);
		appendStringInfo(&detail, " %s.", outcomes);
	}
	ereport(ERROR,
			(errcode(code),
			 unsure ? errmsg("could not send to topic \"%s\": the message may be stored", topic)
			 : errmsg("could not send to topic \"%s\": the message is not stored", topic),
			 errdetail_internal("%s", detail.data),
			 hint ? errhint("%s", hint) : 0));
}

ProducerTopic
kafka_batch_lookup(KafkaBatch *batch, int32 partition, int timeout)
{
	Sender	   *sender = batch->sender;
	KafkaServer server = sender->server;
	ErrorContextCallback context;
	ProducerTopic found;

	server.metadata_timeout = Min(server.metadata_timeout, timeout);
	context.callback = kafka_batch_wait_context;
	context.arg = batch;
	context.previous = error_context_stack;
	error_context_stack = &context;
	found = kafka_producer_lookup(sender->handle, &server, batch->topic, partition);
	error_context_stack = context.previous;
	return found;
}

const char *
kafka_sender_hint(rd_kafka_resp_err_t err)
{
	switch (err)
	{
		case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
			return "The server's option message_max_bytes and the topic's max.message.bytes say how "
				"large a message may be; what is sent at once (option \"batch.size\") counts as one.";
		case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
			return "The topic's message.timestamp.before.max.ms and message.timestamp.after.max.ms say "
				"how far a timestamp may be from now.";
		case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
			return "The cluster's ACLs have to allow the user of the user mapping WRITE on the topic, "
				"and before Kafka 2.8 IDEMPOTENT_WRITE on the cluster.";
		default:
			return KafkaConnectionHint(err);
	}
}

bool
kafka_producer_first_error(KafkaHandle *handle, rd_kafka_resp_err_t *err, char *errstr, Size size)
{
	char		text[256];
	rd_kafka_resp_err_t first;

	if (*err != RD_KAFKA_RESP_ERR__FATAL)
		return false;
	first = rd_kafka_fatal_error(handle->rk, text, sizeof(text));
	if (first == RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	*err = first;
	strlcpy(errstr, text, size);
	return true;
}

/*
 * Raise the failure that a delivery report told of. A timeout where the message may be stored is
 * 08007: nobody knows.
 */
void
kafka_sender_raise_report(Sender *sender)
{
	Failure    *failure = &sender->failure;
	KafkaHandle *handle = sender->handle;
	int			code;
	char	   *cause;
	const char *hint;
	ProducerTopic found = {0};

	kafka_sender_break_off(sender);
	handle->stale = true;
	kafka_producer_forget(handle, failure->topic);
	/* A producer with a fatal error purges its messages. */
	if ((failure->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
		 failure->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT) &&
		rd_kafka_fatal_error(handle->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR)
		failure->err = RD_KAFKA_RESP_ERR__FATAL;
	(void) kafka_producer_first_error(handle, &failure->err, failure->errstr,
									  sizeof(failure->errstr));
	/* What waited for a partition that is gone. */
	if (failure->err == RD_KAFKA_RESP_ERR__DESTROY)
	{
		failure->err = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
		strlcpy(failure->errstr, rd_kafka_err2str(failure->err), sizeof(failure->errstr));
	}
	code = KafkaConnectionSqlState(failure->err);
	hint = kafka_sender_hint(failure->err);
	cause = KafkaConnectionCause(handle, failure->err, failure->errstr);

	/* A topic that was deleted, or made again smaller, shows first as a partition that is gone. */
	if (failure->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
		code == ERRCODE_INSUFFICIENT_RESOURCES)
	{
		KafkaBatch	batch = {0};

		batch.sender = sender;
		batch.topic = failure->topic;
		found = kafka_batch_lookup(&batch, failure->partition, EXPLAIN_MS);
	}
	if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR &&
		KafkaConnectionSqlState(found.err) == ERRCODE_UNDEFINED_TABLE)
	{
		code = ERRCODE_UNDEFINED_TABLE;
		cause = KafkaConnectionCause(handle, found.err, NULL);
	}
	else if (failure->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION &&
			 found.npartitions > 0 && failure->partition >= found.npartitions)
	{
		cause = kafka_no_such_partition(&found, failure->partition);
		failure->partition = -1;
	}
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
	kafka_sender_raise(sender, code, failure->unsure, failure->row, failure->topic, failure->partition,
					   cause, hint);
}
