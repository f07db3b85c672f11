#!/usr/bin/perl
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
# Verifies message files with Mail::DKIM against a table of keys (name TAB text); a line a file.
use strict;
use warnings;
use Net::DNS;
use Mail::DKIM::Verifier;
use Mail::DKIM::DNS;

my $keys = shift @ARGV;
my %txt;
open(my $fh, '<', $keys) or die "$keys: $!";
while (<$fh>) {
	chomp;
	my ($name, $text) = split /\t/, $_, 2;
	push @{ $txt{$name} }, $text;
}
close $fh;

{
	no warnings 'redefine';
	*Mail::DKIM::DNS::query = sub {
		my ($name, $type) = @_;
		return map { Net::DNS::RR->new(owner => $name, type => 'TXT', txtdata => [ unpack('(a255)*', $_) ]) }
			grep { !/^!/ } @{ $txt{$name} || [] };
	};
}

for my $file (@ARGV) {
	open(my $m, '<:raw', $file) or die "$file: $!";
	local $/;
	my $v = Mail::DKIM::Verifier->new;
	$v->PRINT(scalar <$m>);
	$v->CLOSE;
	print join(' ', map { $_->result } $v->signatures), "\n";
}
