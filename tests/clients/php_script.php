<?php
// What webmail and scripts do by PHP's imap functions (c-client); run with a port of loopback and the number of messages.
assert_options(ASSERT_EXCEPTION, 1);
[, $port, $count] = $argv;
$server = "{127.0.0.1:$port/imap/notls}";
$inbox = imap_open($server . 'INBOX', 'u@example.com', 'pw') or exit(1);

// Folders.
$name = imap_utf7_encode("Gr\xf6\xdfe");
assert(imap_createmailbox($inbox, $server . "INBOX.$name"));
assert(imap_subscribe($inbox, $server . "INBOX.$name"));
assert(imap_renamemailbox($inbox, $server . "INBOX.$name", $server . 'INBOX.Akten'));
assert(imap_list($inbox, $server, '*') === [$server . 'INBOX', $server . 'INBOX.Akten']);
assert(imap_getmailboxes($inbox, $server, 'INBOX')[0]->attributes & LATT_HASCHILDREN);
assert(imap_status($inbox, $server . 'INBOX', SA_ALL)->messages == $count);

// Reading.
$found = imap_check($inbox);
assert($found->Nmsgs == $count && $found->Recent == $count);
$messages = imap_fetch_overview($inbox, "1:*");
assert(iconv_mime_decode($messages[1]->subject, 0, 'UTF-8') === 'Grüße aus München – 会議' && !$messages[1]->seen);
foreach ($messages as $message) {
    $header = imap_fetchheader($inbox, $message->msgno);
    $body = imap_body($inbox, $message->msgno, FT_PEEK);
    assert(strlen($header) + strlen($body) == $message->size);
    assert(is_object(imap_fetchstructure($inbox, $message->msgno)));
}
$structure = imap_fetchstructure($inbox, 3);
assert($structure->subtype === 'MIXED' && $structure->parts[1]->dparameters[0]->value === 'report.pdf');
assert(str_starts_with(imap_base64(imap_fetchbody($inbox, 3, '2')), '%PDF-1.4'));
assert(imap_search($inbox, 'BODY "München"', SE_UID, 'UTF-8') === [2]);
assert(imap_search($inbox, 'UNSEEN FROM "anna"', SE_UID) === [1, 4, 6]);
assert(array_slice(imap_sort($inbox, SORTDATE, true, SE_UID, 'FROM "example"'), 0, 3) === [4, 3, 2]);
$is_message = fn ($value, $key) => $value && str_ends_with($key, '.num');
assert(count(array_filter(imap_thread($inbox), $is_message, ARRAY_FILTER_USE_BOTH)) == $count);

// Changing.
assert(imap_setflag_full($inbox, '1:2', '\\Flagged \\Seen'));
assert(imap_clearflag_full($inbox, '2', '\\Flagged'));
assert(imap_mail_copy($inbox, '1:2', 'INBOX.Akten'));
assert(imap_mail_move($inbox, '3', 'INBOX.Akten'));
assert(imap_expunge($inbox) && imap_num_msg($inbox) == $count - 1);
assert(imap_append($inbox, $server . 'INBOX.Akten', "Subject: draft\r\n\r\nhällo\r\n", '\\Draft'));
assert(imap_setacl($inbox, 'INBOX.Akten', 'bob', 'lr') && imap_getacl($inbox, 'INBOX.Akten')['bob'] === 'lr');
assert(imap_reopen($inbox, $server . 'INBOX.Akten') && imap_num_msg($inbox) == 4);
assert(imap_errors() === false && imap_alerts() === false);
assert(imap_close($inbox, CL_EXPUNGE));
echo "done\n";
