# bench/data.sh
#		The topics, files and tables that are read. Sourced by bench/run.
#
# A data set is described by five words: its name, the kind of rows (rows.h), how many, in how many
# partitions, codec, and the size of the producer's batches.

datasets="
log1	log	$((2000000 / scale))	1	none	1000000
log4	log	$((2000000 / scale))	4	none	1000000
log1z	log	$((2000000 / scale))	1	zstd	1000000
log4z	log	$((2000000 / scale))	4	zstd	1000000
long	long	$((200000 / scale))	1	none	1000000
longz	long	$((200000 / scale))	1	zstd	1000000
flow	log	$((1000000 / scale))	1	none	1000000
small	log	$((200000 / scale))	1	none	16384
json	json	$((1000000 / scale))	1	none	1000000
csv	csv	$((1000000 / scale))	1	none	1000000
"

# A word of a data set: dataset NAME 2 is its kind, and so on.
dataset()
{
	awk -v name="$1" -v field="$2" '$1 == name { print $field }' <<<"$datasets"
}

# The columns of five fields, and a query that wants all of them.
fields='id bigint, customer text, amount numeric, created timestamptz, paid boolean'
all_fields='count(id), count(customer), count(amount), count(created), count(paid)'

prepare_server()
{
	sql <<Q
CREATE EXTENSION kafka_fdw;
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE SERVER kafka FOREIGN DATA WRAPPER kafka_fdw OPTIONS (bootstrap_servers '$KAFKA_BOOTSTRAP');
-- A second server comes later.
ALTER DATABASE $PGDATABASE SET kafka_fdw.default_server = 'kafka';
-- One processor for each statement, and no compiler in it, unless a section asks for that.
ALTER SYSTEM SET max_parallel_workers_per_gather = 0;
ALTER SYSTEM SET jit = off;
ALTER SYSTEM SET autovacuum = off;
ALTER SYSTEM SET max_wal_size = '8GB';
ALTER SYSTEM SET max_connections = 200;
Q
	as_user "$("$pg_config" --bindir)/pg_ctl" -D "$work/data" -l "$work/tmp/postgres.log" -s -w restart
}

# Make a topic with its rows, and a foreign table of the same name.
prepare_topic()
{
	local name=$1
	local partitions=$(dataset "$name" 4)

	sql -c "SELECT kafka_create_topic('$name', $partitions)" >/dev/null
	"$bench/rdkafka" fill "$KAFKA_BOOTSTRAP" "$name" "$(dataset "$name" 2)" "$(dataset "$name" 3)" \
		"$partitions" "$(dataset "$name" 5)" "$(dataset "$name" 6)" >/dev/null
	sql -c "CREATE FOREIGN TABLE $name (partition int, \"offset\" bigint, \"timestamp\" timestamptz,
		key text, value text) SERVER kafka"
}

# The rows of a data set as a file, and a foreign table of file_fdw that shows it. $2 has its columns.
prepare_file()
{
	local name=$1
	local file=$work/tmp/$1.rows
	local format=text

	[ "$name" != csv ] || format=csv
	"$bench/rdkafka" rows "$(dataset "$name" 2)" 0 "$(dataset "$name" 3)" >"$file"
	chmod a+r "$file"
	sql -c "CREATE FOREIGN TABLE ${name}_file ($2) SERVER files OPTIONS (filename '$file', format '$format')"
}

# The same rows in a table.
prepare_heap()
{
	sql -c "CREATE UNLOGGED TABLE ${1}_heap ($2)" -c "INSERT INTO ${1}_heap SELECT * FROM ${1}_file" \
		-c "VACUUM (FREEZE, ANALYZE) ${1}_heap"
}

have_topic()
{
	[ "$(sql -c "SELECT to_regclass('$1') IS NOT NULL")" = t ]
}
