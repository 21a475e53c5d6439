/*
 * relay_private.h
 *		What the files of the relay share with nobody else.
 */
#ifndef KAFKA_RELAY_PRIVATE_H
#define KAFKA_RELAY_PRIVATE_H

#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#include "message.h"

/* A row of the outbox. */
typedef struct RelayRow
{
	int64		id;
	Oid			role;
	char	   *topic;
	KafkaOutgoing message;
} RelayRow;

/* How far a relay has come: its row of kafka_relay, whose columns these are. */
typedef struct RelayState
{
	Oid			serverid;
	Oid			mapping;
	char	   *server;
	char	   *identity;
	char	   *done;			/* snapshots as text */
	int64		done_id;
	char	   *round;			/* NULL: none is under way */
	int64		round_id;
	int64		last_id;
	char	   *batch;			/* identity and uuid of what may have been sent; NULL: nothing */
	int64		batch_to;
	List	   *excluded;		/* of int64 *: ids of the batch that were refused */
	bool		stopped;
	bool		fenced;			/* the row says so, or belongs to another copy of the database */
} RelayState;

/* relay_store.c: each runs inside a transaction of the caller's, with SPI connected. */

/* Read the relay's row, or make it; allocated in the given context. */
extern RelayState *kafka_relay_load(Oid serverid, Oid mapping, MemoryContext context);

/* Take a snapshot for a new round: what is committed now is its. Before any other statement. */
extern void kafka_relay_begin_round(RelayState *state, MemoryContext context);

/* The next rows of the round, by id, in the current context; upto 0: as many as make a batch. */
extern List *kafka_relay_fetch(const RelayState *state, int64 upto);

/* Write the row back. */
extern void kafka_relay_save(const RelayState *state, const char *what, int64 sent);

/* Note an error, or that there is none (NULL). */
extern void kafka_relay_note(const RelayState *state, const char *what, const char *error);

/* Whether somebody has asked the relay to stop. */
extern bool kafka_relay_is_stopped(const RelayState *state);

/* Move a message to the dead letters. */
extern void kafka_relay_bury(const RelayState *state, const RelayRow *row, const char *reason);

/* Empty the tables whose rows are all sent, and go on in another one when one is large enough. */
extern void kafka_relay_rotate(void);

#endif							/* KAFKA_RELAY_PRIVATE_H */
