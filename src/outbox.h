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

/* The same where there may be none: InvalidOid. No table is looked at, as an older version has not got them. */
extern Oid	KafkaOutboxFindSchema(void);

/* Whether there is the extension, of a version that has an outbox. */
extern bool KafkaOutboxExists(void);

/* The n-th of the tables. */
extern Oid	KafkaOutboxTable(int n);

/* When the transaction commits, have all sessions see which table is in use now. */
extern void KafkaOutboxChanged(void);

/*
 * Store a message; its id. The caller has checked that the current role may send to the topic; the
 * relay checks again. Raises 53100 where the outbox is full.
 */
extern int64 KafkaOutboxAdd(const KafkaServer *server, const char *topic,
							const KafkaOutgoing *message);

/* Have the relay of a server and mapping look at once, or start it, when the transaction commits. */
extern void KafkaOutboxWakeRelay(Oid serverid, Oid mapping);

/*
 * What a relay says of itself to those who add messages, in a segment of shared memory: make it, inside
 * a transaction; its number is for kafka_relay.
 */
extern int64 KafkaSignalCreate(Oid serverid, Oid mapping);

/* From now on look for messages: what is called for later is for the next look. */
extern void KafkaSignalBusy(void);

/* Sleep on the process's latch; false where somebody has called since it was busy. */
extern bool KafkaSignalSleep(void);

/* There will be no other look. */
extern void KafkaSignalEnd(void);

#endif							/* KAFKA_OUTBOX_H */
