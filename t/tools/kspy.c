/*
 * kspy.c
 *		Stands between kafka_fdw and librdkafka (by LD_PRELOAD), and writes down every property that
 *		is set: a line "NAME=VALUE" for each, in the file that KSPY_LOG names.
 *
 * It is also a librdkafka of tomorrow, which has a property more: "tomorrow.property", and by
 * another name "tomorrow.alias". Whoever sets it can be read of in that file.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef rd_kafka_conf_res_t (*ConfSet) (rd_kafka_conf_t *, const char *, const char *, char *, size_t);

static void
write_down(const char *name, const char *value)
{
	const char *path = getenv("KSPY_LOG");
	char	   *line;
	int			fd;

	if (path == NULL || asprintf(&line, "%s=%s\n", name, value ? value : "") < 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	/* One write for each line: backends and their threads share the file. */
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		abort();
	close(fd);
	free(line);
}

rd_kafka_conf_res_t
rd_kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, char *errstr,
				  size_t errstr_size)
{
	static ConfSet next = NULL;

	if (next == NULL)
		*(void **) &next = dlsym(RTLD_NEXT, "rd_kafka_conf_set");
	write_down(name, value);
	if (strcmp(name, "tomorrow.property") == 0 || strcmp(name, "tomorrow.alias") == 0)
		return RD_KAFKA_CONF_OK;
	return next(conf, name, value, errstr, errstr_size);
}
