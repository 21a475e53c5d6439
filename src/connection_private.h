/*
 * connection_private.h
 *		What the files of connection*.c share with nobody else.
 */
#ifndef KAFKA_CONNECTION_PRIVATE_H
#define KAFKA_CONNECTION_PRIVATE_H

#include "compat.h"
#include "connection.h"

/*
 * Start a detached thread with all signals blocked; 0, or an errno. It calls kafka_thread_ends() as
 * its last act.
 */
extern int	kafka_start_thread(void *(*fn) (void *), void *arg);
extern void kafka_thread_ends(void);

/* The configuration of a handle of this kind; ERROR where the server has what is not allowed. */
extern void kafka_fill_conf(rd_kafka_conf_t *conf, const KafkaServer *server, KafkaHandleKind kind);

/* ERROR where the server asks for credentials and the user mapping has none. */
extern void kafka_check_credentials(const KafkaServer *server);

/* The value of sasl.oauthbearer.config for librdkafka; palloc'd. */
extern char *kafka_token_config(const KafkaServer *server, const char *config);

/* For rd_kafka_conf_set_ssl_cert_verify_cb(). */
extern int	kafka_verify_certificate(rd_kafka_t *rk, const char *broker, int32_t id,
									 int *x509_error, int depth, const char *certificate,
									 size_t size, char *errstr, size_t errlen, void *opaque);

/*
 * Note in the handle what a broker connection complained of (broker_err, broker_errstr), and whether
 * waiting can mend it (fatal_err); and what the log says to explain it. Neither throws.
 */
extern void kafka_note_error(KafkaHandle *handle, rd_kafka_resp_err_t err, const char *text);
extern void kafka_note_log(KafkaHandle *handle, const char *facility, const char *line);

/* Cut a credential off, in place, where a line of librdkafka's log shows one. */
extern void kafka_redact_log(char *line);

/* Replace, in place, what is no text of the database, and control characters. */
extern void kafka_clean_text(char *text);

/* Raise that there is no descriptor for a handle; errno says why. */
pg_noreturn extern void kafka_raise_no_descriptor(const KafkaServer *server);

/* Raise the handle's fatal_err. */
pg_noreturn extern void kafka_raise_fatal(KafkaHandle *handle);

#endif							/* KAFKA_CONNECTION_PRIVATE_H */
