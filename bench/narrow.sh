# bench/narrow.sh
#		Ten messages of a partition that has many. Sourced by bench/run.

# In a fresh session, whose first statement it is, and again and again in one.
narrow_ours()
{
	local topic=$1
	local place=$2
	local first=$3
	local round=$4
	local where="partition = 0 AND \"offset\" >= $first AND \"offset\" < $first + 10"
	local i

	for ((i = 1; i <= 5; i++)); do
		statement narrow "$topic-$place" ours-first "$round.$i" 10 "SELECT count(*) FROM $topic WHERE $where"
	done
	repeat narrow "$topic-$place" ours "$round" -n 200 "SELECT count(*) FROM $topic WHERE $where"
	program narrow "$topic-$place" rdkafka-range "$round" 2000 \
		"$bench/rdkafka" range "$KAFKA_BOOTSTRAP" "$topic" "$first" 10 200
}

section_narrow()
{
	local topic
	local round
	local count

	for topic in log1 small; do
		have_topic "$topic" || prepare_topic "$topic"
	done
	for ((round = 1; round <= rounds; round++)); do
		progress "narrow ranges, round $round of $rounds"
		for topic in log1 small; do
			count=$(dataset "$topic" 3)
			narrow_ours "$topic" middle $((count / 2)) "$round"
			narrow_ours "$topic" end $((count - 10)) "$round"
		done
	done
}
