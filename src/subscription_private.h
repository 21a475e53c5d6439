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
	char	   *state;			/* as the catalogue has it: "running", "retrying", "paused",
								 * "stopped" */
	bool		fenced;			/* the row is of another copy of this database */
	int			pid;			/* of its worker; 0: none, or not known */
	bool		failing;		/* it has an error that was not followed by a success */
	KafkaPlace *places;			/* ascending by partition */
	int			nplaces;
} KafkaSubscription;

/* ------------------------------------------------------------------------
 * subscription_store.c: the catalogue. Each function runs in a transaction of the caller's.
 * ------------------------------------------------------------------------ */

/* By name, or by number; allocated in the current context. NULL where there is none. */
extern KafkaSubscription *kafka_subscription_find(const char *name);
extern KafkaSubscription *kafka_subscription_get(int32 id);

/* The number of the new row. Places are its first offsets. */
typedef struct KafkaNewSubscription
{
	KafkaSubscription subscription;
	const char *on_failure;
	const char *on_data_loss;
	const char *group;			/* NULL: none */
} KafkaNewSubscription;

/* A key as the catalogue has it, an array of text, as a list. */
extern List *kafka_subscription_key_list(Datum array);

extern int32 kafka_subscription_insert(const KafkaNewSubscription *new);
extern void kafka_subscription_delete(int32 id);

/* Set the state, and forget the last error where a subscription is to run. */
extern void kafka_subscription_set_state(int32 id, const char *state);

/* Note an error, which makes the state "retrying" or "stopped". */
extern void kafka_subscription_note_error(int32 id, const char *state, const char *message);

/* Note the worker's process; 0: none. */
extern void kafka_subscription_set_pid(int32 id, int pid);

/* Set the next offsets of partitions; where these are "all", others are forgotten. */
extern void kafka_subscription_seek(int32 id, const KafkaPlace *places, int nplaces, bool all);

/*
 * Store how far the fetcher has come, and count rows and a batch (where there was one). ERROR 40001
 * where the offsets in the catalogue are not those that the fetcher began at: somebody else has
 * taken the same messages, or was told to go elsewhere.
 */
extern void kafka_subscription_advance(int32 id, const KafkaFetcher *fetcher, int64 rows,
									   bool is_batch);

/* Store the ends of the partitions, which the lag is counted from. */
extern void kafka_subscription_store_ends(int32 id, const KafkaFetcher *fetcher);

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

/* Numbers (int list) of those that have to have a worker; in the current context. */
extern List *kafka_subscription_wanted(void);

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
											const KafkaFetcher *fetcher, KafkaIngestBatch *batch,
											bool own);

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

/* True where the fetcher reads what the catalogue says, from where it says. */
extern bool kafka_subscription_agrees(const KafkaSubscription *subscription,
									  const KafkaFetcher *fetcher);

/* Held while a batch is stored: one transaction at a time. */
extern void kafka_subscription_lock(int32 id);

/* The limits of a batch; wait as in KafkaIngestLimits. */
extern KafkaIngestLimits kafka_subscription_limits(const KafkaSubscription *subscription, int wait);

/* ------------------------------------------------------------------------
 * subscription_worker.c
 * ------------------------------------------------------------------------ */

/* When the transaction commits: start a worker, or have the one that runs look at its row. */
extern void kafka_subscription_start_at_commit(int32 id, const char *name);
extern void kafka_subscription_signal_at_commit(int pid);

#endif							/* KAFKA_SUBSCRIPTION_PRIVATE_H */
