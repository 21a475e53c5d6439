# bench/ingest.sh
#		Topics into tables: subscriptions beside COPY FROM a file, and beside a program that does the same;
#		how late a message is, and what a worker needs that is far behind. Sourced by bench/run.

# Each subscription runs already, and is connected, when it is sent back to the beginning.
prepare_ingest()
{

	prepare_topic flow
	sql -c "SELECT kafka_create_topic('late', 1)" >/dev/null
	"$bench/rdkafka" rows log 0 "$(dataset flow 3)" >"$work/tmp/ingest.rows"
	chmod a+r "$work/tmp/ingest.rows"
	sql >/dev/null <<Q
CREATE FOREIGN TABLE ingest_log (value text) SERVER kafka OPTIONS (topic 'flow');
CREATE FOREIGN TABLE ingest_late (value text) SERVER kafka OPTIONS (topic 'late');
CREATE TABLE copied (value text);
CREATE TABLE copied_indexed (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value text);
CREATE TABLE taken (LIKE copied);
CREATE TABLE taken_indexed (LIKE copied_indexed INCLUDING ALL);
CREATE TABLE taken_command (LIKE copied);
CREATE TABLE taken_grouped (part int PRIMARY KEY, n bigint);
CREATE TABLE taken_late (value text);
CREATE TABLE progress (partition int, next_offset bigint);
INSERT INTO progress VALUES (0, 0);
SELECT kafka_subscribe('plain', 'ingest_log', 'taken', start_offset => 'latest');
SELECT kafka_subscribe('indexed', 'ingest_log', 'taken_indexed', start_offset => 'latest');
SELECT kafka_subscribe('command', 'ingest_log', start_offset => 'latest',
	command => 'INSERT INTO taken_command SELECT value FROM ingest_log');
SELECT kafka_subscribe('grouped', 'ingest_log', start_offset => 'latest', command => '
	INSERT INTO taken_grouped SELECT hashtext(value) % 500, count(*) FROM ingest_log GROUP BY 1
		ON CONFLICT (part) DO UPDATE SET n = taken_grouped.n + excluded.n');
SELECT kafka_subscribe('late', 'ingest_late', 'taken_late', start_offset => 'latest');
Q
}

# Empty a table, and have nothing left to write of what was before.
clear_table()
{
	sql -c "TRUNCATE $1" -c CHECKPOINT
}

# Rows that a table has to have, whatever the one who filled it says.
#
#	verify_table QUERY COUNT WHAT
verify_table()
{
	local found=$(sql -c "$1")

	[ "$found" = "$2" ] && return
	complain "$3" "the table has $found rows in place of $2"
	printf 'wrong\t%s\t%s\n' "$3" "$found in place of $2" >>"$results"
}

# All of the topic, by one subscription: its name and what counts its rows.
ingest_by()
{
	local name=$1
	local query=$2
	local round=$3
	local count=$(dataset flow 3)
	local printed

	printed=$(timeout -k 5 "$limit" "$bench/pg" -n "$count" ingest "$name" 2>&1) || true
	if ! grep -q "^count=$count " <<<"$printed"; then
		complain "ingest $name" "$printed"
		printed="error=$(tr ' ' _ <<<"$printed")"
	fi
	record ingest "$name" ours-subscription "$round" "$printed"
	verify_table "$query" "$count" "ingest $name"
}

# The same rows by COPY.
ingest_by_copy()
{
	local case=$1
	local table=$2

	clear_table "$table"
	statement ingest "$case" copy-logged "$3" "$(dataset flow 3)" \
		"COPY $table (value) FROM '$work/tmp/ingest.rows'"
}

ingest_by_go()
{
	local count=$(dataset flow 3)

	have_go || return 0
	clear_table copied
	sql -c "UPDATE progress SET next_offset = 0"
	program ingest plain franz-go-copy "$1" "$count" "$bench/clients" franz-go copy "$KAFKA_BOOTSTRAP" \
		flow "$count"
	verify_table "SELECT count(*) FROM copied" "$count" "ingest franz-go"
}

# One message after another, from its acknowledgement until it can be seen.
ingest_late()
{
	local count=$((1000 / (scale > 1 ? 10 : 1)))
	local printed

	printed=$(timeout -k 5 "$limit" "$bench/pg" -s "SELECT kafka_send('late', 'warm')" -n "$count" latency \
		"SELECT kafka_send('late', 'a row')" "SELECT count(*) FROM taken_late WHERE value = 'a row'" 2>&1) || true
	if ! grep -q "^count=$count " <<<"$printed"; then
		complain "ingest late" "$printed"
		printed="error=$(tr ' ' _ <<<"$printed")"
	fi
	record ingest late ours-subscription "$1" "$printed"
	clear_table taken_late
}

section_ingest()
{
	local round

	prepare_ingest
	for ((round = 1; round <= rounds; round++)); do
		progress "topics into tables, round $round of $rounds"
		clear_table "taken, taken_indexed, taken_command, taken_grouped"
		ingest_by_copy plain copied "$round"
		ingest_by plain "SELECT count(*) FROM taken" "$round"
		ingest_by_go "$round"
		ingest_by_copy indexed copied_indexed "$round"
		ingest_by indexed "SELECT count(*) FROM taken_indexed" "$round"
		ingest_by command "SELECT count(*) FROM taken_command" "$round"
		ingest_by grouped "SELECT sum(n) FROM taken_grouped" "$round"
		ingest_late "$round"
	done
	sql -c "SELECT kafka_unsubscribe(name) FROM kafka_subscriptions" >/dev/null
}
