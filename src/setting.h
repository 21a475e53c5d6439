/*
 * setting.h
 *		Server settings (GUCs), and the checks that every entry point makes.
 */
#ifndef KAFKA_SETTING_H
#define KAFKA_SETTING_H

typedef enum KafkaMode
{
	KAFKA_MODE_ON,				/* everything */
	KAFKA_MODE_READ_ONLY,		/* no sends, no cluster changes, no workers */
	KAFKA_MODE_OFF				/* no contact with Kafka at all */
} KafkaMode;

extern int	kafka_mode;			/* kafka_fdw.mode */
extern char *kafka_default_server;	/* kafka_fdw.default_server; "" where unset */
extern double kafka_max_scan_messages;	/* kafka_fdw.max_scan_messages; 0: no limit */
extern int	kafka_max_timeout;	/* kafka_fdw.max_timeout, ms: caps options */
extern int	kafka_max_buffer_size;	/* kafka_fdw.max_buffer_size, kB: caps options */
extern int	kafka_outbox_max_size;	/* kafka_fdw.outbox_max_size, kB */
extern int	kafka_outbox_when_full; /* kafka_fdw.outbox_when_full: an error level */
extern int	kafka_outbox_segment_size;	/* kafka_fdw.outbox_segment_size, kB */
extern int	kafka_relay_naptime;	/* kafka_fdw.relay_naptime, ms */
extern int	kafka_relay_linger; /* kafka_fdw.relay_linger, ms */
extern int	kafka_max_pending_size; /* kafka_fdw.max_pending_size, kB: messages held for a commit */

/* ERROR (55000) where kafka_fdw.mode is off. Every read begins here. */
extern void KafkaSettingCheckRead(void);

/*
 * ERROR where nothing may be sent or changed: kafka_fdw.mode is not on (55000), the transaction is
 * read-only or this is a standby (25006). "what" completes "cannot execute %s ...".
 */
extern void KafkaSettingCheckWrite(const char *what);

#endif							/* KAFKA_SETTING_H */
