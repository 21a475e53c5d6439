# KafkaFdw/Cluster.pm
#		A cluster of brokers, by dev/cluster: three nodes unless the option "nodes" says otherwise,
#		numbered from 1. All that KafkaFdw/Broker.pm says holds here too.
#
#	my $cluster = KafkaFdw::Cluster->new('name');
#	$cluster->bootstrap;			the addresses of all nodes
#	$cluster->bootstrap(2);			the address of one
#	$cluster->kill(2);				start, stop, kill, pause, resume: one node, or all of them
#
# Topics get three replicas where nobody says otherwise, and their leaders are spread over the nodes.
# A node that is killed or frozen loses its partitions two seconds later.
package KafkaFdw::Cluster;

use strict;
use warnings;

use parent qw(KafkaFdw::Broker);

sub _script { return 'cluster'; }

sub start
{
	my ($self, $number) = @_;

	$self->{bootstrap} = $self->_run('start ' . ($number // ''));
	return;
}

sub stop { my ($self, $number) = @_; $self->_run('stop ' . ($number // '')); return; }
sub kill { my ($self, $number) = @_; $self->_run('kill ' . ($number // '')); return; }
sub pause { my ($self, $number) = @_; $self->_run('pause ' . ($number // '')); return; }
sub resume { my ($self, $number) = @_; $self->_run('resume ' . ($number // '')); return; }

sub bootstrap
{
	my ($self, $number) = @_;

	return defined $number ? (split /,/, $self->{bootstrap})[ $number - 1 ] : $self->{bootstrap};
}

sub port
{
	my ($self, $number) = @_;

	return $self->bootstrap($number) =~ s/.*://r;
}

1;
