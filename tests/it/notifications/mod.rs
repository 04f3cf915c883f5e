mod mails;
mod notification_preferences;
mod notifications;
