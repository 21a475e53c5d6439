/*
 * outbox_private.h
 *		What the files of the outbox share with nobody else.
 */
#ifndef KAFKA_OUTBOX_PRIVATE_H
#define KAFKA_OUTBOX_PRIVATE_H

#include "utils/relcache.h"

#include "outbox.h"

/* outbox_table.c */

/* What a session knows of the extension's tables. */
typedef struct OutboxCatalog
{
	Oid			schema;
	Oid			tables[KAFKA_OUTBOX_TABLES];
	int			in_use;			/* which of them messages are added to */
	Oid			current;		/* kafka_outbox_current */
	Oid			sequence;		/* kafka_outbox_id */
	Oid			relay;			/* kafka_relay */
} OutboxCatalog;

/* As of now; good until a lock is taken, or whatever else takes invalidations. An error without the extension. */
extern const OutboxCatalog *kafka_outbox_catalog(void);

/* The table to add to, locked for that until the transaction ends. */
extern Oid	kafka_outbox_target(void);

/* Add a row to that table. */
extern void kafka_outbox_insert(Relation rel, Datum *values, bool *nulls);

/* A lock may have gone with a subtransaction, or all of them with the transaction. */
extern void kafka_outbox_forget_target(void);

/* outbox_wake.c */

/*
 * Before the commit, while errors may be raised: find the relays that are to look, or start them.
 * two_phase: before PREPARE TRANSACTION, after which they are not called, but look now and then.
 */
extern void kafka_outbox_prepare_wake_ups(bool two_phase);

/* After the commit: have them look. Must not throw. */
extern void kafka_outbox_finish_wake_ups(void);

/* The transaction has not committed. */
extern void kafka_outbox_drop_wake_ups(void);

#endif							/* KAFKA_OUTBOX_PRIVATE_H */
