#!/usr/bin/perl
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
#
# content_spamassassin.pl FILE... — what the installed SpamAssassin makes of each message, one line of
# JSON each: its body (paragraphs), its URIs, and Subject, From:addr, From:name. No network, no rules
# but its list of top-level domains. Exit 77 where it is not installed.
use strict;
use warnings;
use JSON::PP;

eval { require Mail::SpamAssassin; require Mail::SpamAssassin::PerMsgStatus; 1 } or do {
	print STDERR "Mail::SpamAssassin is not installed\n";
	exit 77;
};
sub slurp { my ($name) = @_; local $/; open my $f, '<:raw', $name or return undef; return <$f>; }

my $tlds = slurp('/usr/share/spamassassin/20_aux_tlds.cf');
if (!defined $tlds) {
	print STDERR "no list of top-level domains of SpamAssassin\n";
	exit 77;
}
my $sa = Mail::SpamAssassin->new({ dont_copy_prefs => 1, local_tests_only => 1, config_text => $tlds });
$sa->init(0);
my $json = JSON::PP->new->ascii->canonical;
for my $name (@ARGV) {
	my $mail = $sa->parse(slurp($name), 1);
	my $status = Mail::SpamAssassin::PerMsgStatus->new($sa, $mail);
	$status->extract_message_metadata();
	my %head = map { $_ => scalar($status->get($_)) } ('Subject', 'From:addr', 'From:name');
	my @uris = sort $status->get_uri_list();
	print $json->encode({ body => $status->get_decoded_stripped_body_text_array(), uris => \@uris,
		head => \%head }), "\n";
	$status->finish;
	$mail->finish;
}
