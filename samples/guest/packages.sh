#!/bin/bash
# packages.sh: Debian packages for the scripts that source this.
#
# Needs: say and die of its caller. Gives: install_packages, refresh_lists, update_lists; and in apt_options how apt is
# called, in apt_lists where its package lists are, which the caller may set to lists of its own.

apt_options=(-o APT::Sandbox::User=root)
apt_lists=/var/lib/apt/lists

# Fetches apt's package lists.
update_lists() {
  [ -w "$apt_lists" ] || die "apt's package lists are missing or out of date: run 'apt-get update' as root first"
  say "fetching apt's package lists"
  apt-get "${apt_options[@]}" update -qq || return
  touch "$apt_lists"
}

# Fetches the package lists again if they are older than a day: they may name packages that have left the archive.
refresh_lists() {
  [ -w "$apt_lists" ] || return 0
  [ -z "$(find "$apt_lists" "$apt_lists/partial" -maxdepth 0 -mmin -1440 2> /dev/null)" ] || return 0
  update_lists || say "the package lists could not be fetched: going on with those that are there"
}

# install_packages PACKAGE...: installs them on this machine, if there are any.
install_packages() {
  [ $# -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "install these packages first (or run this as root): $*"
  refresh_lists
  say "installing $*"
  local install=(apt-get install -qq -y --no-install-recommends "$@")
  export DEBIAN_FRONTEND=noninteractive
  "${install[@]}" > /dev/null || { update_lists && "${install[@]}" > /dev/null; }
}
