"""The launcher's man page, rviewer(1)."""

from __future__ import annotations

MANUAL = r""".TH RVIEWER 1 "" "spice-grant" "User Commands"
.SH NAME
rviewer \- list and open the SPICE consoles that were granted to you
.SH SYNOPSIS
.B rviewer
.RB [ \-\-list ]
.RI [ NAME ]
.SH DESCRIPTION
.B rviewer
shows the console of a virtual machine.
Which consoles you may open on this machine, and when, your administrator says.
.PP
With a
.IR NAME ,
it opens that console.
Without, it opens your console if just one is open now.
If there are several, it lists them or, without a terminal, lets you choose in
a dialog; a console that is closed says when it opens, and one that is locked
says so.
.PP
.BR sudo (8)
may ask for a password: that is your own.
Without a terminal a program as
.BR ssh\-askpass (1)
asks for it.
.PP
Times are those of this machine, or of
.BR TZ .
What is not of today has the time zone behind it, and so has an hour that is
another where your administrator is.
.SH OPTIONS
.TP
.B \-\-list
Print the name of a console on each line and, behind a tab, until when it is
open or when it opens, if it is not always.
What is locked is not among them.
.TP
.BR \-h ", " \-\-help
Print what there is to know.
.SH EXIT STATUS
.TP
.B 0
Opened or listed.
.TP
.B 1
Not allowed, closed now, or not possible; standard error says why, and so does a
dialog where there is no terminal.
.TP
.B 2
Wrong usage.
.TP
.B 3
The viewer could not be started.
.TP
.B 4
The viewer ended with an error.
.TP
.B 5
There is no desktop to show it on.
.SH ENVIRONMENT
.TP
.BR LANGUAGE ", " LC_ALL ", " LC_MESSAGES ", " LANG
The language of what it says: English or German.
.TP
.BR DISPLAY ", " WAYLAND_DISPLAY
The desktop that shows the viewer.
.TP
.B SUDO_ASKPASS
The program that asks for your password where there is no terminal.
.TP
.B TZ
The time zone of the hours.
.SH FILES
.TP
.I /etc/spice\-grant/menu/UID
Your consoles and their hours, which only you can read.
.TP
.I /etc/spice\-grant/contact
Whom you may ask, if somebody is named.
.SH EXAMPLES
.TP
.B rviewer debianx
Open the console of the virtual machine debianx.
.TP
.B LC_ALL=C rviewer \-\-list | cut \-f1
Print the names of all consoles, for a script.
.SH SEE ALSO
.BR remote\-viewer (1),
.BR sudo (8)
"""
