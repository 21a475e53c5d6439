/*
 * outbox.h
 *		Messages stored in the transaction, for a relay to send once it has committed.
 */
#ifndef KAFKA_OUTBOX_H
#define KAFKA_OUTBOX_H

#include "message.h"
#include "option.h"

#define KAFKA_OUTBOX_TABLES 3

/* The extension's schema, which its tables are in; an error where there is no extension. */
extern Oid	KafkaOutboxSchema(void);

/* The n-th of the tables. */
extern Oid	KafkaOutboxTable(int n);

/*
 * Store a message; its id. The caller has checked that the current role may send to the topic; the
 * relay checks again. Raises 53100 where the outbox is full.
 */
extern int64 KafkaOutboxAdd(const KafkaServer *server, const char *topic,
							const KafkaOutgoing *message);

/* Have the relay of a server and mapping look at once, or start it, when the transaction commits. */
extern void KafkaOutboxWakeRelay(Oid serverid, Oid mapping);

#endif							/* KAFKA_OUTBOX_H */
