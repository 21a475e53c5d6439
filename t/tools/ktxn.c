/*
 * ktxn.c
 *		A transactional producer, moved by commands, so that a test can make messages that are
 *		committed, aborted, or neither for as long as it likes.
 *
 *	usage: ktxn BOOTSTRAP TRANSACTIONAL_ID [PROPERTY=VALUE]...
 *
 * The transactional id "-" makes a plain producer. Commands:
 *	begin
 *	send TOPIC PARTITION KEY VALUE		VALUE is the rest of the line; answers "ok PARTITION OFFSET"
 *	fill TOPIC PARTITION COUNT VALUE	so many messages, numbered: "VALUE 0", "VALUE 1", ...
 *	commit
 *	abort
 *	quit								leaves an open transaction to the broker's timeout
 * A partition of -1 is chosen by the key. A KEY or VALUE of \N is NULL. A send is in the log when it
 * is answered, whether its transaction is open or not.
 */
#include <librdkafka/rdkafka.h>

#include "tool.h"

#define TIMEOUT_MS 30000
#define OPEN_MS "900000"		/* for an open transaction, which is what a broker admits at most */

/* What became of the messages of the present command. */
static struct
{
	int			waiting;		/* not yet reported */
	rd_kafka_resp_err_t err;	/* the first failure */
	int32_t		partition;		/* of the last one */
	int64_t		offset;			/* the highest */
}			delivery;

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	(void) rk;
	(void) opaque;
	delivery.waiting--;
	if (message->err && !delivery.err)
		delivery.err = message->err;
	delivery.partition = message->partition;
	if (message->offset > delivery.offset)
		delivery.offset = message->offset;
}

/* Hand one message to librdkafka, waiting where its queue is full. */
static void
produce(rd_kafka_t *rk, const char *topic, int32_t partition, const char *key, const char *value)
{
	rd_kafka_resp_err_t err;

	for (;;)
	{
		err = rd_kafka_producev(rk,
								RD_KAFKA_V_TOPIC(topic),
								RD_KAFKA_V_PARTITION(partition),
								RD_KAFKA_V_KEY((void *) key, key ? strlen(key) : 0),
								RD_KAFKA_V_VALUE((void *) value, value ? strlen(value) : 0),
								RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
								RD_KAFKA_V_END);
		if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			break;
		rd_kafka_poll(rk, 100);
	}
	if (!err)
		delivery.waiting++;
	else if (!delivery.err)
		delivery.err = err;
}

static void
answer_deliveries(rd_kafka_t *rk)
{
	rd_kafka_flush(rk, TIMEOUT_MS);
	if (delivery.err)
		tool_answer("error %s", rd_kafka_err2str(delivery.err));
	else if (delivery.waiting > 0)
		tool_answer("error %d messages are not acknowledged", delivery.waiting);
	else
		tool_answer("ok %d %lld", (int) delivery.partition, (long long) delivery.offset);
}

static const char *
null_or(const char *word)
{
	return strcmp(word, "\\N") == 0 ? NULL : word;
}

static void
send_one(rd_kafka_t *rk, char *args)
{
	char	   *topic = tool_word(&args);
	char	   *partition = tool_word(&args);
	char	   *key = tool_word(&args);

	produce(rk, topic, atoi(partition), null_or(key), null_or(args));
	answer_deliveries(rk);
}

static void
send_many(rd_kafka_t *rk, char *args)
{
	char	   *topic = tool_word(&args);
	char	   *partition = tool_word(&args);
	int			count = atoi(tool_word(&args));
	size_t		size = strlen(args) + 16;
	char	   *value = malloc(size);

	if (value == NULL)
		tool_die("out of memory");
	for (int i = 0; i < count; i++)
	{
		snprintf(value, size, "%s %d", args, i);
		produce(rk, topic, atoi(partition), NULL, value);
	}
	free(value);
	answer_deliveries(rk);
}

static void
answer_error(rd_kafka_error_t *error)
{
	if (error == NULL)
		tool_answer("ok");
	else
	{
		tool_answer("error %s", rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
	}
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		text[512];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
		tool_die("%s", text);
}

int
main(int argc, char **argv)
{
	char		text[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_error_t *error;
	rd_kafka_t *rk;
	char	   *command;

	if (argc < 3)
		tool_die("usage: ktxn BOOTSTRAP TRANSACTIONAL_ID [PROPERTY=VALUE]...");
	set(conf, "bootstrap.servers", argv[1]);
	set(conf, "linger.ms", "0");
	if (strcmp(argv[2], "-") != 0)
	{
		set(conf, "transactional.id", argv[2]);
		set(conf, "transaction.timeout.ms", OPEN_MS);
	}
	for (int i = 3; i < argc; i++)
	{
		char	   *value = strchr(argv[i], '=');

		if (value == NULL)
			tool_die("%s is not PROPERTY=VALUE", argv[i]);
		*value++ = '\0';
		set(conf, argv[i], value);
	}
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (rk == NULL)
		tool_die("%s", text);
	if (strcmp(argv[2], "-") != 0)
	{
		error = rd_kafka_init_transactions(rk, TIMEOUT_MS);
		if (error != NULL)
			tool_die("%s", rd_kafka_error_string(error));
	}
	tool_answer("ok");

	while ((command = tool_command()) != NULL)
	{
		char	   *verb = tool_word(&command);

		memset(&delivery, 0, sizeof(delivery));
		delivery.offset = -1;
		if (strcmp(verb, "begin") == 0)
			answer_error(rd_kafka_begin_transaction(rk));
		else if (strcmp(verb, "commit") == 0)
			answer_error(rd_kafka_commit_transaction(rk, TIMEOUT_MS));
		else if (strcmp(verb, "abort") == 0)
			answer_error(rd_kafka_abort_transaction(rk, TIMEOUT_MS));
		else if (strcmp(verb, "send") == 0)
			send_one(rk, command);
		else if (strcmp(verb, "fill") == 0)
			send_many(rk, command);
		else if (strcmp(verb, "quit") == 0)
			break;
		else
			tool_answer("error no such command: %s", verb);
	}
	/* To destroy the producer would abort an open transaction. */
	_Exit(0);
}
