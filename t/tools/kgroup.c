/*
 * kgroup.c
 *		A member of a consumer group, moved by commands, so that a test knows what the group has read
 *		and committed.
 *
 *	usage: kgroup BOOTSTRAP GROUP [PROPERTY=VALUE]...
 *
 * Commands:
 *	subscribe TOPIC...				become a member that reads these
 *	assigned						answers "ok TOPIC:PARTITION ...": what it reads now
 *	commit TOPIC PARTITION OFFSET	which makes a group without members, where there is none
 *	quit							leaves the group
 * Between commands it polls, as a consumer must to stay a member. Nothing is committed but by command.
 */
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <unistd.h>

#include "tool.h"

#define POLL_MS 20

/* Poll until the next command can be read. */
static void
poll_meanwhile(rd_kafka_t *rk)
{
	struct pollfd input = {STDIN_FILENO, POLLIN, 0};

	while (poll(&input, 1, POLL_MS) == 0)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 0);

		if (message)
			rd_kafka_message_destroy(message);
	}
}

static void
subscribe(rd_kafka_t *rk, char *rest)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t err;

	while (*rest)
		rd_kafka_topic_partition_list_add(topics, tool_word(&rest), RD_KAFKA_PARTITION_UA);
	err = rd_kafka_subscribe(rk, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	if (err)
		tool_answer("error %s", rd_kafka_err2str(err));
	else
		tool_answer("ok");
}

static void
assigned(rd_kafka_t *rk)
{
	rd_kafka_topic_partition_list_t *partitions;

	if (rd_kafka_assignment(rk, &partitions))
		tool_die("no assignment");
	rd_kafka_topic_partition_list_sort(partitions, NULL, NULL);
	printf("ok");
	for (int i = 0; i < partitions->cnt; i++)
		printf(" %s:%d", partitions->elems[i].topic, (int) partitions->elems[i].partition);
	tool_answer("%s", "");
	rd_kafka_topic_partition_list_destroy(partitions);
}

static void
commit(rd_kafka_t *rk, char *rest)
{
	rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
	const char *topic = tool_word(&rest);
	int			partition = atoi(tool_word(&rest));
	rd_kafka_resp_err_t err;

	rd_kafka_topic_partition_list_add(offsets, topic, partition)->offset =
		atoll(tool_word(&rest));
	err = rd_kafka_commit(rk, offsets, 0);
	if (!err)
		err = offsets->elems[0].err;
	rd_kafka_topic_partition_list_destroy(offsets);
	if (err)
		tool_answer("error %s", rd_kafka_err2str(err));
	else
		tool_answer("ok");
}

/* Set a property; dies where that fails. */
static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		errstr[512];

	if (rd_kafka_conf_set(conf, name, value, errstr, sizeof(errstr)) != RD_KAFKA_CONF_OK)
		tool_die("%s", errstr);
}

int
main(int argc, char **argv)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;
	char		errstr[512];
	char	   *rest;

	if (argc < 3)
		tool_die("usage: kgroup BOOTSTRAP GROUP [PROPERTY=VALUE]...");
	set(conf, "bootstrap.servers", argv[1]);
	set(conf, "group.id", argv[2]);
	set(conf, "enable.auto.commit", "false");
	set(conf, "auto.offset.reset", "earliest");
	for (int i = 3; i < argc; i++)
	{
		char	   *value = strchr(argv[i], '=');

		if (!value)
			tool_die("not a property: %s", argv[i]);
		*value++ = '\0';
		set(conf, argv[i], value);
	}
	rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, errstr, sizeof(errstr));
	if (!rk)
		tool_die("%s", errstr);
	rd_kafka_poll_set_consumer(rk);
	tool_answer("ok");

	for (;;)
	{
		const char *command;

		poll_meanwhile(rk);
		rest = tool_command();
		if (!rest)
			break;
		command = tool_word(&rest);
		if (strcmp(command, "subscribe") == 0)
			subscribe(rk, rest);
		else if (strcmp(command, "assigned") == 0)
			assigned(rk);
		else if (strcmp(command, "commit") == 0)
			commit(rk, rest);
		else if (strcmp(command, "quit") == 0)
			break;
		else
			tool_answer("error no such command: %s", command);
	}
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	return 0;
}
