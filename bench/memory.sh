# bench/memory.sh
#		What a scan adds to its backend, for a short topic and for the largest. Sourced by bench/run.

section_memory()
{
	local topic
	local round

	for topic in small log1 log4 long; do
		have_topic "$topic" || prepare_topic "$topic"
	done
	for ((round = 1; round <= rounds; round++)); do
		progress "memory of scans, round $round of $rounds"
		for topic in small log1 log4 long; do
			statement memory "$topic" ours "$round" "[0-9]*" "SELECT sum(octet_length(value)) FROM $topic"
		done
	done
}
