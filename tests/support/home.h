// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#define home_path support_home
#define home_remove support_home_remove
#define home_setting support_setting
#define home_port support_port
#define home_listen support_listen
#define home_deafen support_listen_stop
#define home_listen_again support_listen_again
#define now_ms kvr_clock_ms
#define sleep_ms support_sleep_ms
