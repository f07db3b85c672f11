// SPDX-License-Identifier: BSD-3-Clause
// Copyright (c) 2026 The Postern Authors

// The lab has addresses of RFC 5737, which Haraka counts as private ones, and plugin spf skips clients that have those.

'use strict'

exports.hook_connect = (next, connection) => {
    connection.set('remote.is_private', false)
    next()
}
