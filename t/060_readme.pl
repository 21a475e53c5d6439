# t/060_readme.pl
#		README.md and the manual say what is true: their SQL is run, and what psql prints is what they
#		show.
#
# The statements of a file are those of its "sql" blocks, which one psql session runs one after the
# other in a database of its own. A "text" block that follows such a block, with nothing between, is
# what the statements print; a block without one prints nothing. Comments, which no reader sees, tell
# the rest:
#
#	<!-- test: topics a b -->	these names stand for topics of this run alone
#	<!-- test: setup ... -->	statements that the reader needs not see; whatever they print
#	<!-- test: skip -->			the next block is not run
#	<!-- test: tail -->			the next block follows a topic: it is run in a second session. The block
#								after it is run until the first shows something
#	<!-- test: shows -->		the next "text" block is how that begins
#
# Before they are compared, both texts lose what differs from run to run: times become "<time>"; the
# counts of messages and bytes in EXPLAIN ANALYZE, which depend on how the producer batched, become
# "<n>"; of the width of columns, runs of spaces and dashes are made one; and the empty row of a
# function that returns void is left out.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run ();
use KafkaFdw::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = abs_path(dirname(__FILE__) . '/..');
my @files = @ARGV ? @ARGV : ('README.md', 'docs/reading.md', 'docs/sending.md', 'docs/outbox.md',
	'docs/publishing.md', 'docs/subscriptions.md', 'docs/admin.md', 'docs/reference.md');
my $bootstrap = KafkaFdw::Test->bootstrap;
my $suffix = sprintf '_%x_%d', $^T, $$;
my $node = PostgreSQL::Test::Cluster->new('readme');
my $mark = 'end-of-block';

#----------------------------------------------------------------------
# The files
#----------------------------------------------------------------------

# The lines up to the one that is this, as a text; $$number is that of the line after it.
sub lines_until
{
	my ($lines, $number, $end) = @_;
	my $text = '';

	while ($lines->[$$number] ne $end)
	{
		$text .= "$lines->[$$number++]\n";
		die "$end is missing" if $$number >= @$lines;
	}
	$$number++;
	return $text;
}

# What a file asks for: a list of steps, each with its kind (setup, sql, tail, feed, shows), its text,
# its line, and for sql what it prints; and the topics.
sub read_steps
{
	my ($name) = @_;
	my @lines = split /\n/, slurp_file("$root/$name");
	my $number = 0;
	my (@steps, @topics);
	my %next;		# what a comment says of the next block
	my $printing;	# the step whose output would come now

	while ($number < @lines)
	{
		my $line = $lines[ $number++ ];
		my $start = $number;

		if ($line =~ /^<!-- test: topics (.*) -->$/)
		{
			push @topics, split ' ', $1;
		}
		elsif ($line =~ /^<!-- test: (skip|tail|shows) -->$/)
		{
			$next{$1} = 1;
		}
		elsif ($line eq '<!-- test: setup')
		{
			push @steps,
			  { kind => 'setup', line => $start, text => lines_until(\@lines, \$number, '-->') };
		}
		elsif ($line =~ /^<!--.*test:/)
		{
			die "$name, line $start: not a comment for this test";
		}
		elsif ($line =~ /^```(\w*)$/)
		{
			my $language = $1;
			my $text = lines_until(\@lines, \$number, '```');

			if ($language eq 'sql' && !$next{skip})
			{
				my $feeds = @steps && $steps[-1]{kind} eq 'tail';

				$printing = {
					kind => $next{tail} ? 'tail' : $feeds ? 'feed' : 'sql',
					line => $start,
					text => $text,
					prints => ''
				};
				push @steps, $printing;
			}
			elsif ($language eq 'text' && !$next{skip})
			{
				if ($next{shows})
				{
					push @steps, { kind => 'shows', line => $start, text => $text };
				}
				elsif ($printing)
				{
					$printing->{prints} = $text;
				}
				else
				{
					die "$name, line $start: nothing printed this";
				}
				undef $printing;
			}
			%next = ();
		}
		elsif ($line ne '')
		{
			undef $printing;
		}
	}
	return (\@steps, \@topics);
}

#----------------------------------------------------------------------
# What is run, and what it prints
#----------------------------------------------------------------------

# Names of this run, and this broker.
sub localise
{
	my ($text, $topics) = @_;

	$text =~ s/\blocalhost:9092\b/$bootstrap/g;
	$text =~ s/(?<![\w-])\Q$_\E(?![\w-])/$_$suffix/g foreach @$topics;
	return $text;
}

# A text without what may differ.
sub normalise
{
	my ($text) = @_;

	$text =~ s/\Q$suffix\E//g;
	$text =~ s/^psql:<stdin>:\d+: //mg;
	$text =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[-+]\d\d(:\d\d)?/<time>/g;
	$text =~ s/^(\s*Kafka (?:Messages|Bytes|Messages Outside Ranges): )\d+/$1<n>/mg;
	$text =~ s/\brows=(\d+)\.00\b/rows=$1/g;
	$text =~ s/^ +kafka_\w+ *\n-+\n *\n\(1 row\)\n//mg;
	$text =~ s/-{2,}/--/g;
	$text =~ s/ {2,}/ /g;
	$text =~ s/^ | $//mg;
	$text =~ s/\n{2,}/\n/g;
	$text =~ s/\A\n|\n\z//g;
	return $text;
}

# A psql that prints as it does for a reader, errors in their place.
sub start_psql
{
	my ($dbname) = @_;
	my $psql = { in => '', out => '', timer => IPC::Run::timer(4 * $PostgreSQL::Test::Utils::timeout_default) };

	$psql->{run} = IPC::Run::start(
		[ $node->installed_command('psql'), '-Xq', '-d', $node->connstr($dbname), '-f', '-' ],
		'<', \$psql->{in}, '>&', \$psql->{out}, $psql->{timer});
	return $psql;
}

# Wait until psql has printed something that matches.
sub wait_for
{
	my ($psql, $pattern) = @_;

	while ($psql->{out} !~ $pattern)
	{
		die "psql ended after: $psql->{out}" unless $psql->{run}->pump;
	}
	return;
}

# Run statements; returns what they print.
sub run_block
{
	my ($psql, $text) = @_;

	$psql->{out} = '';
	$psql->{in} .= "$text\n\\echo $mark\n";
	wait_for($psql, qr/^$mark\n/m);
	$psql->{out} =~ s/^$mark\n.*//ms;
	return $psql->{out};
}

# Run what feeds a tail until the tail has shown something: that it waits for Kafka can be seen from
# outside, but not whether it has taken the ends of its topic. Returns what the first run prints.
sub feed
{
	my ($psql, $tail, $text) = @_;
	my $output;

	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Extension'")
	  or die 'the tail does not wait';

	while (1)
	{
		my $seen = run_block($psql, $text);

		$output //= $seen;
		return $output
		  if KafkaFdw::Test->wait_until(
			sub { $tail->{run}->pump_nb; $tail->{out} =~ /\n-.*\n.*\n/ }, 2);
		die "the tail shows nothing: $tail->{out}" if $tail->{timer}->is_expired;
	}
}

# End a tail, as Ctrl-C would.
sub end_tail
{
	my ($tail) = @_;

	$tail->{run}->signal('INT');
	eval { $tail->{run}->finish };
	return;
}

#----------------------------------------------------------------------
# The test
#----------------------------------------------------------------------

sub test_file
{
	my ($name) = @_;
	my ($steps, $topics) = read_steps($name);
	my $dbname = lc($name =~ s/\W+/_/gr);
	my $blocks = 0;
	my ($psql, $tail);

	$node->safe_psql('postgres', "CREATE DATABASE $dbname");
	$psql = start_psql($dbname);
	run_block($psql, "SET timezone = 'UTC';");
	foreach my $step (@$steps)
	{
		my $text = localise($step->{text}, $topics);
		my $where = "$name, line $step->{line}";

		if ($step->{kind} eq 'setup')
		{
			unlike(run_block($psql, $text), qr/ERROR|WARNING|FATAL/, "$where: what comes before");
		}
		elsif ($step->{kind} eq 'sql')
		{
			is(normalise(run_block($psql, $text)), normalise($step->{prints}), $where);
			$blocks++;
		}
		elsif ($step->{kind} eq 'tail')
		{
			$tail = start_psql($dbname);
			$tail->{in} .= $text;
			$tail->{run}->pump_nb;
		}
		elsif ($step->{kind} eq 'feed')
		{
			is(normalise(feed($psql, $tail, $text)), normalise($step->{prints}), $where);
			$blocks++;
		}
		elsif ($step->{kind} eq 'shows')
		{
			my $wanted = normalise($text);

			is(substr(normalise($tail->{out}), 0, length $wanted), $wanted, "$where: the tail");
			end_tail($tail);
			$blocks++;
		}
	}
	cmp_ok($blocks, '>', 0, "$name has statements");
	$psql->{in} .= "\\q\n";
	$psql->{run}->finish;

	# What the file has not deleted itself.
	foreach my $topic (@$topics)
	{
		$node->psql($dbname, "SELECT kafka_delete_topic('$topic$suffix')");
	}
	return;
}

$node->init;
$node->start;
test_file($_) foreach @files;
$node->stop;
done_testing();
