#!/usr/bin/perl
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The Postern Authors
# Signs message files with Mail::DKIM. Jobs on standard input, fields separated by tabs:
#   PEM METHOD DOMAIN SELECTOR HEADERS IDENTITY FILE
# HEADERS and IDENTITY may be "-". FILE.signed is written.
use strict;
use warnings;
use Mail::DKIM::Signer;
use Mail::DKIM::TextWrap;

while (<STDIN>) {
	chomp;
	my ($pem, $method, $domain, $selector, $headers, $identity, $file) = split /\t/;
	open(my $m, '<:raw', $file) or die "$file: $!";
	my $text = do { local $/; <$m> };
	my $s = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => $method, Domain => $domain,
		Selector => $selector, KeyFile => $pem, $headers eq '-' ? () : (Headers => $headers),
		$identity eq '-' ? () : (Identity => $identity));
	$s->PRINT($text);
	$s->CLOSE;
	my $field = $s->signature->as_string;
	$field =~ s/\r?\n/\r\n/g;
	open(my $out, '>:raw', "$file.signed") or die $!;
	print $out $field, "\r\n", $text;
	close $out;
}
