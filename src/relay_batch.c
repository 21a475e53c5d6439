/*
 * relay_batch.c
 *		A relay's batches: found, recorded, and sent in a Kafka transaction.
 *
 * A batch is recorded in PostgreSQL under a name of its own, and flushed; then its messages, and one
 * to the control topic that carries the name, are sent in one Kafka transaction. After a crash
 * anywhere in between the control topic tells whether the recorded batch was committed there. A
 * relay has a transactional id of its own, so an earlier incarnation that still runs somewhere is
 * fenced before the control topic is read.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "consumer.h"
#include "relay_private.h"

#define CONTROL_TOPIC "_kafka_fdw_relay"
#define MAX_MESSAGE_TIMEOUT 10000	/* ms: a message may not outlive its transaction */
#define SETTLE_TIMEOUT 1000		/* ms: another relay's transaction is mostly shorter */
#define SETTLE_POLL 20			/* ms */
#define MANY_IDS 10000
#define MOST_ROWS 10000			/* of a batch, where nothing stands against it ... */
#define MOST_BYTES (16 * 1024 * 1024)
#define FEWEST_ROWS 64			/* ... and where nothing goes */
#define FEWEST_BYTES (64 * 1024)

/* ------------------------------------------------------------------------
 * Transactions of PostgreSQL
 * ------------------------------------------------------------------------ */

void
kafka_relay_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
kafka_relay_commit(void)
{
	PopActiveSnapshot();
	SPI_finish();
	CommitTransactionCommand();
}

/* ------------------------------------------------------------------------
 * Kafka
 * ------------------------------------------------------------------------ */

void
kafka_relay_size_batch(Relay *relay, bool failed)
{
	relay->sending = false;
	if (relay->batch_rows == 0)
	{
		relay->batch_rows = MOST_ROWS;
		relay->batch_bytes = MOST_BYTES;
	}
	else if (failed)
	{
		relay->batch_rows = Max(relay->batch_rows / 2, FEWEST_ROWS);
		relay->batch_bytes = Max(relay->batch_bytes / 2, FEWEST_BYTES);
	}
	else
	{
		relay->batch_rows = Min(relay->batch_rows * 2, MOST_ROWS);
		relay->batch_bytes = Min(relay->batch_bytes * 2, MOST_BYTES);
	}
}

void
kafka_relay_disconnect(Relay *relay)
{
	relay->transactor = NULL;
	MemoryContextReset(relay->kafka_context);
}

void
kafka_relay_refresh_server(Relay *relay)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(relay->cycle_context);
	KafkaServer *server = KafkaOptionGetServer(relay->state->serverid, relay->state->mapping);

	if (strcmp(server->name, relay->state->server) != 0)
		kafka_relay_rename(relay->state, server->name);
	server->message_timeout = Min(server->message_timeout, MAX_MESSAGE_TIMEOUT);
	if (relay->transactor == NULL || !KafkaOptionSameServer(server, relay->server))
	{
		kafka_relay_disconnect(relay);
		MemoryContextSwitchTo(relay->kafka_context);
		relay->server = KafkaOptionCopyServer(server);
		relay->server->transactional_id = psprintf("kafka_fdw-%s", relay->state->identity);
	}
	else
	{
		MemoryContextSwitchTo(relay->kafka_context);
		relay->server->allowed_topics = KafkaOptionCopyServer(server)->allowed_topics;
		relay->server->outbox_stops = server->outbox_stops;
	}
	MemoryContextSwitchTo(oldcontext);
}

/*
 * The control topic's partition, once a reader of what is committed sees all that is in it by now: behind
 * a transaction that another relay has open Kafka hides what is committed, our own batch too.
 */
static KafkaPartition
settled_partition(Relay *relay, KafkaConsumer *consumer)
{
	KafkaConsumer *all = KafkaConsumerOpen(relay->server, CONTROL_TOPIC, false, false);
	int64		high = KafkaConsumerSnapshot(all)->partitions[0].end;
	TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), SETTLE_TIMEOUT);

	KafkaConsumerClose(all);
	for (;;)
	{
		KafkaPartition found = KafkaConsumerSnapshot(consumer)->partitions[0];

		if (found.end >= high)
			return found;
		if (GetCurrentTimestamp() >= give_up)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("could not learn whether messages of the outbox were sent"),
					 errdetail("The control topic \"%s\" has an open transaction, of another relay or "
							   "of somebody else.", CONTROL_TOPIC)));
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, SETTLE_POLL,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* The name of the batch that an identity committed last, in the current context; NULL: none. */
static char *
last_committed(Relay *relay, const char *identity)
{
	KafkaConsumer *consumer = KafkaConsumerOpen(relay->server, CONTROL_TOPIC, true, false);
	KafkaPartition control = settled_partition(relay, consumer);
	KafkaMessage message;
	char	   *result = NULL;
	KafkaRange	range;

	range.partition = control.partition;
	range.start = control.low;
	range.end = control.end;
	KafkaConsumerStart(consumer, &range, range.end > range.start ? 1 : 0, NULL);
	while (KafkaConsumerNext(consumer, &message))
	{
		if (message.keylen == strlen(identity) && memcmp(message.key, identity, message.keylen) == 0)
			result = pnstrdup(message.value, message.valuelen);
	}
	KafkaConsumerClose(consumer);
	return result;
}

static void forget_batch(RelayState *state);

/* A batch's name is "identity/uuid"; the identity is the key of its control message. */
static char *
identity_of(const char *batch)
{
	return pnstrdup(batch, strcspn(batch, "/"));
}

void
kafka_relay_connect(Relay *relay)
{
	RelayState *state = relay->state;
	char	   *last = NULL;
	char	   *reason;

	/* A handle's configuration looks into catalogues; without a snapshot that holds nothing back. */
	StartTransactionCommand();
	MemoryContextSwitchTo(relay->kafka_context);
	relay->transactor = KafkaTransactorOpen(relay->server);
	(void) KafkaTransactorMakeTopic(relay->transactor, CONTROL_TOPIC);
	MemoryContextSwitchTo(relay->cycle_context);
	reason = KafkaTransactorPrepare(relay->transactor, CONTROL_TOPIC, 0);
	if (reason)
		elog(ERROR, "could not use the control topic \"%s\": %s", CONTROL_TOPIC, reason);
	if (state->batch)
		last = last_committed(relay, identity_of(state->batch));
	CommitTransactionCommand();
	kafka_relay_begin();
	kafka_relay_note(state, "running", NULL);
	if (last && strcmp(last, state->batch) == 0)
	{
		int64		nsent = state->batch_rows - list_length(state->excluded);

		forget_batch(state);
		kafka_relay_save(state, nsent, 0);
	}
	else if (state->batch && state->excluded == NIL)
	{
		/* It is not there, nor will it be: its rows need not be sent together. */
		pfree(state->batch);
		state->batch = NULL;
	}
	kafka_relay_commit();
	relay->connected_at = GetCurrentTimestamp();
	MemoryContextSwitchTo(relay->cycle_context);
}

/* ------------------------------------------------------------------------
 * Batches
 * ------------------------------------------------------------------------ */

/* The reason why a row may not be sent after all, or NULL. */
static char *
why_not(Relay *relay, const RelayRow *row)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(row->role)))
		return pstrdup("the role that queued it does not exist any more");
	if (kafka_server_aclcheck(relay->state->serverid, row->role, ACL_USAGE) != ACLCHECK_OK)
		return psprintf("role \"%s\" may not use server \"%s\" any more",
						GetUserNameFromId(row->role, false), relay->state->server);
	if (!KafkaOptionTopicAllowed(relay->server, row->topic))
		return psprintf("topic \"%s\" is not among the allowed topics of server \"%s\"", row->topic,
						relay->state->server);
	return NULL;
}

static bool
is_excluded(const RelayState *state, int64 id)
{
	ListCell   *lc;

	foreach(lc, state->excluded)
	{
		if (*(int64 *) lfirst(lc) == id)
			return true;
	}
	return false;
}

static RelayRow *
find_row(List *rows, int64 id)
{
	ListCell   *lc;

	foreach(lc, rows)
	{
		if (((RelayRow *) lfirst(lc))->id == id)
			return (RelayRow *) lfirst(lc);
	}
	return NULL;
}

/* Give a batch a name, which from now on may be in the control topic. */
static void
name_batch(Relay *relay)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(relay->context);

	if (relay->state->batch)
		pfree(relay->state->batch);
	relay->state->batch =
		psprintf("%s/%s", relay->state->identity,
				 DatumGetCString(DirectFunctionCall1(uuid_out,
													 DirectFunctionCall1(gen_random_uuid, 0))));
	MemoryContextSwitchTo(oldcontext);
}

static void
exclude(Relay *relay, List *rows, int64 id, const char *reason)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(relay->context);
	int64	   *copy = palloc(sizeof(int64));

	*copy = id;
	relay->state->excluded = lappend(relay->state->excluded, copy);
	MemoryContextSwitchTo(oldcontext);
	kafka_relay_bury(relay->state, find_row(rows, id), reason);
}

/* The recorded batch is in Kafka. */
static void
forget_batch(RelayState *state)
{
	state->last_id = state->batch_to;
	pfree(state->batch);
	state->batch = NULL;
	list_free_deep(state->excluded);
	state->excluded = NIL;
}

/* The round has no rows left: it is what is done. */
static void
finish_round(RelayState *state)
{
	pfree(state->done);
	state->done = state->round;
	state->done_id = state->round_id;
	state->round = NULL;
}

/* Find out which rows cannot be sent because their topic or partition is not there. */
static List *
prepare_rows(Relay *relay, List *rows)
{
	List	   *refusals = NIL;
	ListCell   *lc;

	foreach(lc, rows)
	{
		RelayRow   *row = (RelayRow *) lfirst(lc);
		KafkaRefusal *refusal;
		char	   *reason;

		if (is_excluded(relay->state, row->id))
			continue;
		reason = KafkaTransactorPrepare(relay->transactor, row->topic, row->message.partition);
		if (reason == NULL)
			continue;
		refusal = palloc(sizeof(KafkaRefusal));
		refusal->number = row->id;
		refusal->reason = reason;
		refusals = lappend(refusals, refusal);
	}
	return refusals;
}

/*
 * Send the rows in a transaction of Kafka's; those that it refuses, when nothing was sent. Nor was it
 * where *again is set.
 */
static List *
send_rows(Relay *relay, List *rows, bool *again)
{
	RelayState *state = relay->state;
	char	   *identity = identity_of(state->batch);
	KafkaOutgoing control = {0};
	ListCell   *lc;

	KafkaTransactorBegin(relay->transactor);
	foreach(lc, rows)
	{
		RelayRow   *row = (RelayRow *) lfirst(lc);

		if (!is_excluded(state, row->id))
			KafkaTransactorAdd(relay->transactor, row->topic, &row->message, row->id);
	}
	control.partition = 0;
	control.timestamp = KAFKA_NO_TIMESTAMP;
	control.key = identity;
	control.keylen = strlen(identity);
	control.value = state->batch;
	control.valuelen = strlen(state->batch);
	KafkaTransactorAdd(relay->transactor, CONTROL_TOPIC, &control, 0);
	return KafkaTransactorCommit(relay->transactor, again);
}

/* Whether a message was refused, or the relay's own to the control topic. */
static void
check_refusal(Relay *relay, const KafkaRefusal *refusal, List *rows)
{
	if (refusal->number == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_ERROR),
				 errmsg("could not send to the control topic \"%s\"", CONTROL_TOPIC),
				 errdetail_internal("%s.", refusal->reason)));
	if (relay->server->outbox_stops)
		ereport(ERROR,
				(errcode(KAFKA_STOP_SQLSTATE),
				 errmsg("Kafka refuses message %lld of the outbox, for topic \"%s\"",
						(long long) refusal->number, find_row(rows, refusal->number)->topic),
				 errdetail_internal("%s.", refusal->reason),
				 errhint("Mend the cause and call kafka_relay_start(), or set the server's option "
						 "outbox_on_error to dead_letter.")));
}

/* Move what was refused to the dead letters; the rest is the batch now, under another name. */
static void
set_aside(Relay *relay, List *rows, List *refusals)
{
	ListCell   *lc;

	kafka_relay_begin();
	foreach(lc, refusals)
	{
		KafkaRefusal *refusal = (KafkaRefusal *) lfirst(lc);

		check_refusal(relay, refusal, rows);
		exclude(relay, rows, refusal->number, refusal->reason);
	}
	name_batch(relay);
	kafka_relay_save(relay->state, 0, list_length(refusals));
	kafka_relay_commit();
	MemoryContextSwitchTo(relay->cycle_context);
}

void
kafka_relay_send_batch(Relay *relay, List *rows)
{
	RelayState *state = relay->state;
	List	   *refusals;
	bool		again;
	int64		nsent;

	MemoryContextSwitchTo(relay->cycle_context);
	relay->sending = true;
	do
	{
		again = false;
		refusals = prepare_rows(relay, rows);
		if (refusals == NIL)
			refusals = send_rows(relay, rows, &again);
		if (refusals != NIL)
			set_aside(relay, rows, refusals);
	} while (refusals != NIL || again);
	kafka_relay_size_batch(relay, false);
	nsent = state->batch_rows - list_length(state->excluded);
	forget_batch(state);
	kafka_relay_begin();
	kafka_relay_save(state, nsent, 0);
	kafka_relay_commit();
}

/*
 * The next rows of the round, or where it has none left those of a new one. A round without rows is
 * done at once. That is written down only where the relay's row says otherwise, and when many ids
 * were given to transactions that are still open, or to other relays: their rows need not be looked
 * at again then (kafka_relay_save).
 */
static List *
next_rows(Relay *relay)
{
	RelayState *state = relay->state;
	List	   *rows = NIL;
	bool		old_round = state->round != NULL;

	if (old_round)
		rows = kafka_relay_fetch(state, 0, relay->batch_rows, relay->batch_bytes,
								 relay->cycle_context);
	if (rows != NIL)
		return rows;
	if (old_round)
		finish_round(state);
	kafka_relay_begin_round(state, relay->context);
	rows = kafka_relay_fetch(state, 0, relay->batch_rows, relay->batch_bytes,
							 relay->cycle_context);
	if (rows == NIL)
	{
		finish_round(state);
		if (old_round || kafka_relay_last_given_id() - state->known_id > MANY_IDS)
			kafka_relay_save(state, 0, 0);
	}
	return rows;
}

/* Write down which rows are about to be sent, without those that may not be any more. */
static void
record_batch(Relay *relay, List *rows)
{
	RelayState *state = relay->state;
	ListCell   *lc;

	state->batch_to = ((RelayRow *) llast(rows))->id;
	state->batch_rows = list_length(rows);
	foreach(lc, rows)
	{
		RelayRow   *row = (RelayRow *) lfirst(lc);
		char	   *reason = why_not(relay, row);

		if (reason)
			exclude(relay, rows, row->id, reason);
	}
	name_batch(relay);
	kafka_relay_save(state, 0, list_length(state->excluded));
}

List *
kafka_relay_next_batch(Relay *relay)
{
	RelayState *state = relay->state;
	List	   *rows;

	kafka_relay_look(state, false);
	if (state->stopped || state->fenced)
		return NIL;
	if (state->batch)
		return kafka_relay_fetch(state, state->batch_to, 0, 0, relay->cycle_context);
	rows = next_rows(relay);
	if (rows != NIL)
		record_batch(relay, rows);
	return rows;
}
