"""What people read: lists, views, live screens, exports, how the work stands."""
