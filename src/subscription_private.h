/*
 * subscription_private.h
 *		What the files of subscriptions share with nobody else.
 */
#ifndef KAFKA_SUBSCRIPTION_PRIVATE_H
#define KAFKA_SUBSCRIPTION_PRIVATE_H

#include "storage/lock.h"

#include "ingest_fetch.h"

/* A subscription as it stands in the catalogue. */
typedef struct KafkaSubscription
{
	int32		id;
	char	   *name;
	Oid			owner;
	Oid			source;
	Oid			target;			/* InvalidOid: a command */
	char	   *command;		/* NULL: a target */
	char	   *search_path;
	bool		upsert;			/* rows are changed, by key; otherwise added */
	List	   *key;			/* of char *: columns of the target */
	bool		loss_is_error;
	bool		dead_letters;	/* what cannot be stored is put aside */
	int			batch_size;
	int			batch_timeout;	/* ms */
	int			workers;		/* 0: only by hand */
	char	   *group;			/* to which offsets are committed, too; NULL: none */
	char	   *state;			/* as the catalogue has it: "running", "paused", "stopped" */
	bool		fenced;			/* the row is of another copy of this database */
	KafkaPlace *places;			/* ascending by partition */
	int			nplaces;
} KafkaSubscription;

/* ------------------------------------------------------------------------
 * subscription_store.c: the catalogue. Each function runs in a transaction of the caller's.
 * ------------------------------------------------------------------------ */

/* By name, or by number; allocated in the current context. NULL where there is none. */
extern KafkaSubscription *kafka_subscription_find(const char *name);
extern KafkaSubscription *kafka_subscription_get(int32 id);

/*
 * The same with these places alone, if they still are where they were when they were located; else with
 * all. It costs the same however many versions of them an old snapshot keeps.
 */
extern KafkaSubscription *kafka_subscription_get_located(int32 id, const KafkaPlace *places, int nplaces);

/* The number of the new row. Places are its first offsets. */
typedef struct KafkaNewSubscription
{
	KafkaSubscription subscription;
	const char *on_failure;
	const char *on_data_loss;
} KafkaNewSubscription;

/* A key as the catalogue has it, an array of text, as a list. */
extern List *kafka_subscription_key_list(Datum array);

extern int32 kafka_subscription_insert(const KafkaNewSubscription *new);
extern void kafka_subscription_delete(int32 id);

extern void kafka_subscription_set_state(int32 id, const char *state);

/* Forget what went wrong, and the marks that are gone. */
extern void kafka_subscription_forget_errors(int32 id);

/*
 * Note an error that stops the subscription. "shown" is what pg_monitor sees, where the error may quote
 * messages; NULL: the same.
 */
extern void kafka_subscription_note_stop(int32 id, const char *error, const char *shown);

/* Set the next offsets of partitions and forget their marks; where these are "all", forget others. */
extern void kafka_subscription_seek(int32 id, const KafkaPlace *places, int nplaces, bool all);

/*
 * Store how far the fetcher has come, and the marks of a batch, which may be an empty one; count it, and
 * its rows. ERROR 40001
 * where the offsets in the catalogue are not those that the fetcher began at: somebody else has
 * taken the same messages, or was told to go elsewhere.
 */
extern void kafka_subscription_advance(int32 id, KafkaFetcher *fetcher,
									   const KafkaIngestBatch *batch, int64 rows);

/* Store which of the fetcher's partitions are unverified, where that has changed. */
extern void kafka_subscription_note_unverified(const KafkaSubscription *subscription,
											   KafkaFetcher *fetcher);

/* Store the ends of the partitions, which the lag is counted from. */
extern void kafka_subscription_store_ends(int32 id, KafkaFetcher *fetcher);

/* Put a message aside as a dead letter, with the reason; the topic is the one it was read from. */
extern void kafka_subscription_bury(const KafkaSubscription *subscription, const char *topic,
									const KafkaMessage *message, const char *error);

/*
 * Dead letters of a subscription, oldest first: their messages are added to an empty batch, and their
 * numbers, in that order, to the list (of int64 *) that is returned; at most so many. "after": only
 * those with higher numbers.
 */
extern List *kafka_subscription_letters(const KafkaSubscription *subscription, int64 after,
										int limit, KafkaIngestBatch *batch);
extern void kafka_subscription_unbury(int64 letter);
extern void kafka_subscription_note_letter(int64 letter, const char *error);

/* ------------------------------------------------------------------------
 * subscription_ingest.c: a batch in its transaction
 * ------------------------------------------------------------------------ */

/* ERROR where the owner may not do what the subscription does, or its objects do not fit. */
extern void kafka_subscription_check(const KafkaSubscription *subscription);

/* The same, more thoroughly, for a new one of the current user's: is its statement a valid one? */
extern void kafka_subscription_check_statement(const KafkaSubscription *subscription);

/*
 * Store a batch, as the owner, and its offsets; the number of rows. The batch has to be shown. Where
 * the transaction is the batch's "own", the owner stays the current user, so that what is deferred to
 * the commit runs as the owner too: the caller switches back when that is over.
 */
extern int64 kafka_subscription_store_batch(const KafkaSubscription *subscription,
											KafkaFetcher *fetcher, KafkaIngestBatch *batch, bool own);

/*
 * What a batch's statement is surrounded by: the owner's rights and the settings of subscribe time.
 * Where the transaction is not the batch's own, they end with LeaveOwner.
 */
typedef struct KafkaOwnerState
{
	Oid			userid;
	int			context;
	int			guc_level;
	bool		own;
} KafkaOwnerState;

extern KafkaOwnerState kafka_subscription_enter_owner(const KafkaSubscription *subscription, bool own);
extern void kafka_subscription_leave_owner(const KafkaOwnerState *state);

/* Fire what triggers have put off until the commit, and all that would be from now on. */
extern void kafka_subscription_fire_deferred(void);

/*
 * subscription_insert.c: the same rows by the shortest way, and their number; false, with nothing done,
 * where the target needs an INSERT's. As the current user.
 */
extern bool kafka_subscription_insert_batch(const KafkaSubscription *subscription,
											const KafkaTable *table,
											const KafkaIngestBatch *batch, int64 *nrows);

/*
 * subscription_upsert.c: the changes of rows that a batch is; the number of rows that were changed. As
 * the current user.
 */
extern int64 kafka_subscription_upsert_batch(const KafkaSubscription *subscription,
											 const KafkaTable *table, const KafkaIngestBatch *batch);

/* ERROR where the key is none, or the current user may not change the target's rows. */
extern void kafka_subscription_check_upsert(const KafkaSubscription *subscription);

/* The columns of a table's primary key (of char *); ERROR where it has none. */
extern List *kafka_subscription_default_key(Oid target);

/*
 * Store the messages that a batch shows as rows, as the current user, without their offsets. NULL where
 * that went well; otherwise nothing was stored, and the reason is returned, if it is one of the data;
 * any other is raised.
 */
extern char *kafka_subscription_try_rows(const KafkaSubscription *subscription,
										 const KafkaTable *table, const KafkaIngestBatch *batch,
										 int64 *nrows);

/*
 * True where the fetcher reads what the catalogue says, from where it says; its places are located
 * then.
 */
extern bool kafka_subscription_agrees(const KafkaSubscription *subscription, KafkaFetcher *fetcher);

/*
 * Held while batches are stored or offsets changed: shared by the workers, whose partitions differ, and
 * by nobody else.
 */
extern void kafka_subscription_lock(int32 id);
extern void kafka_subscription_lock_shared(int32 id);

/* The limits of a batch; wait as in KafkaIngestLimits. */
extern KafkaIngestLimits kafka_subscription_limits(const KafkaSubscription *subscription, int wait);

/* ------------------------------------------------------------------------
 * subscription_process.c: the workers of a subscription, numbered from 0 on
 * ------------------------------------------------------------------------ */

/* True where the catalogue says that it is to have workers. */
extern bool kafka_subscription_is_wanted(const KafkaSubscription *subscription);

/* A worker notes that it runs; true where the catalogue has an error that it is to put right. */
extern bool kafka_subscription_enter(int32 id, int number);
extern void kafka_subscription_leave(int32 id, int number);

/*
 * A worker's error that it tries again, or of its commits to the group; NULL: it is over. "shown" as below.
 */
extern void kafka_subscription_note_retry(int32 id, int number, const char *error,
										  const char *shown);
extern void kafka_subscription_note_group(int32 id, int number, const char *error);

/*
 * A worker looks after the next one, so that all are there where one is: starts it where it is missing,
 * and where it cannot notes that as its error.
 */
extern void kafka_subscription_look_after(const KafkaSubscription *subscription, int number);

/* When the transaction commits: start the workers, or have those that run look at the catalogue. */
extern void kafka_subscription_start_at_commit(int32 id, const char *name, int workers);
extern void kafka_subscription_signal_at_commit(int32 id);

#endif							/* KAFKA_SUBSCRIPTION_PRIVATE_H */
