/*
 * relay_private.h
 *		What the files of the relay share with nobody else.
 */
#ifndef KAFKA_RELAY_PRIVATE_H
#define KAFKA_RELAY_PRIVATE_H

#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#include "access.h"
#include "message.h"
#include "option.h"
#include "producer_transaction.h"

/*
 * In SQL: whether a row o of the outbox was sent, as its relay's row p of kafka_relay_progress has it. The
 * view kafka_outbox_rows says the same.
 */
#define KAFKA_RELAY_WAS_SENT \
	"(pg_catalog.pg_visible_in_snapshot(o.xid, p.done) " \
	"OR p.round IS NOT NULL AND o.id <= p.last_id " \
	"AND pg_catalog.pg_visible_in_snapshot(o.xid, p.round))"

/* A row of the outbox. */
typedef struct RelayRow
{
	int64		id;
	Oid			role;
	char	   *topic;
	KafkaOutgoing message;
} RelayRow;

/* A relay, and how far it has come: its rows of kafka_relay and kafka_relay_progress. */
typedef struct RelayState
{
	Oid			serverid;
	Oid			mapping;
	int64		segment;		/* of shared memory, see KafkaSignalCreate() */
	char	   *server;
	char	   *identity;
	char	   *done;			/* snapshots as text */
	int64		done_id;
	char	   *round;			/* NULL: none is under way */
	int64		round_id;
	int64		last_id;
	char	   *batch;			/* identity and uuid of what may have been sent; NULL: nothing */
	int64		batch_to;
	int64		batch_rows;		/* of the batch, the excluded ones among them */
	List	   *excluded;		/* of int64 *: ids of the batch that were refused */
	bool		stopped;
	bool		fenced;			/* the row says so, or the database is a copy of another */
	ItemPointerData ctid;		/* of the row of kafka_relay_progress */
	int64		known_id;		/* no id up to it belongs to a transaction that a snapshot taken
								 * from now on knows nothing of */
} RelayState;

/* Of an error after which a relay does not go on. */
#define KAFKA_STOP_SQLSTATE ERRCODE_OPERATOR_INTERVENTION

/* The relay of this process. */
typedef struct Relay
{
	MemoryContext context;		/* of the relay's own state, until it is read anew */
	MemoryContext kafka_context;	/* of the transactor */
	MemoryContext cycle_context;
	RelayState *state;			/* NULL: to be read */
	KafkaServer *server;
	KafkaTransactor *transactor;	/* NULL: not connected */
	int64		segment;		/* what KafkaSignalCreate() has made */
	TimestampTz fenced_at;		/* 0: never */
	TimestampTz rotated_at;
	TimestampTz connected_at;	/* or when the process began */
	int			batch_rows;		/* so many make a batch, ... */
	Size		batch_bytes;	/* ... or so much: less after one that failed, and then more again */
	bool		sending;		/* a batch is under way */
	bool		untidy;			/* something was sent since it was rotated, or a table is to be
								 * emptied */
	bool		locked;			/* nobody else runs in its place */
} Relay;

/* relay_batch.c */

/* A transaction, with SPI connected and a snapshot. */
extern void kafka_relay_begin(void);
extern void kafka_relay_commit(void);

/*
 * Say whether a batch has failed, or was sent. A transaction of Kafka's must not take long: what was too
 * much for a slow connection is tried again by halves.
 */
extern void kafka_relay_size_batch(Relay *relay, bool failed);

/* Let go of the connection; what is open there is settled by the next. */
extern void kafka_relay_disconnect(Relay *relay);

/* In a transaction: the server as it is now; a changed one makes a new connection. */
extern void kafka_relay_refresh_server(Relay *relay);

/*
 * Connect, which ends whatever an earlier producer of this relay has left open, and see what became
 * of the batch that was recorded last.
 */
extern void kafka_relay_connect(Relay *relay);

/*
 * In a transaction: the next batch, recorded when it commits; NIL where nothing waits, or the relay is
 * to stop. A batch of which something was refused before is taken up again just as it was.
 */
extern List *kafka_relay_next_batch(Relay *relay);

/*
 * Send the rows of the recorded batch. Where Kafka refuses some for good they go to the dead
 * letters, and the rest is recorded under another name and sent again.
 */
extern void kafka_relay_send_batch(Relay *relay, List *rows);

/* relay_store.c: each runs inside a transaction of the caller's, with SPI connected. */

/*
 * True where a relay's row was written in another database than this: then this one was restored from
 * a dump, or is a copy, and so are all rows.
 */
extern bool kafka_relay_is_copy(void);

/* Read the relay's rows, or make them; allocated in the given context. */
extern RelayState *kafka_relay_load(Oid serverid, Oid mapping, int64 segment, MemoryContext context);

/* Take a snapshot for a new round: what is committed now is its. Before any other statement. */
extern void kafka_relay_begin_round(RelayState *state, MemoryContext context);

/*
 * The next rows of the round, by id; upto 0: up to so many, and so much. Here and elsewhere what is
 * returned is allocated in the given context: SPI leaves one of its own behind as the current.
 */
extern List *kafka_relay_fetch(const RelayState *state, int64 upto, int max_rows, Size max_bytes,
							   MemoryContext context);

/* Write down how far it has come, with so many messages more that were sent, and refused. */
extern void kafka_relay_save(RelayState *state, int64 sent, int64 refused);

/* Set the state that kafka_relays shows, with an error or without (NULL). */
extern void kafka_relay_note(const RelayState *state, const char *what, const char *error);

/* Rows for a relay that has not run yet, and is not to. */
extern void kafka_relay_insert_stopped(Oid serverid, Oid mapping);

/* Write down that the server has another name now: kafka_adopt() goes by it. */
extern void kafka_relay_rename(RelayState *state, const char *server);

/* Stop, as kafka_relay_stop() does. */
extern void kafka_relay_stop_itself(const RelayState *state);

/* The largest id that was given. */
extern int64 kafka_relay_last_given_id(void);

/*
 * See what others want of the relay: stopped and fenced. "wait": what somebody asks for in a
 * transaction that is still open, too.
 */
extern void kafka_relay_look(RelayState *state, bool wait);

/* Copy a message to the dead letters. */
extern void kafka_relay_bury(const RelayState *state, const RelayRow *row, const char *reason);

/*
 * relay_rotate.c: inside a transaction of the caller's, with SPI connected. Empty the tables whose
 * rows are all sent, and go on in another one when one is large enough. True where one is left to be emptied.
 */
extern bool kafka_relay_rotate(void);

#endif							/* KAFKA_RELAY_PRIVATE_H */
